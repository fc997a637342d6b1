// Package disk is the disk of a virtual machine, with a cache of its own that a power cut empties.
//
// A disk begins as a file that all share and nobody changes. What the guest writes is in the cache until it flushes it,
// or asks for that at once (FUA): then, and not before, it is durable. Cutting the power loses all that is in the cache,
// which is more than most real disks lose: those keep some of it, in an order of their own. So a guest that syncs too
// little is always seen; one that relies on the order of what it has not synced may not be.
package disk

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// blockSize is the unit in which the disk keeps what differs from its beginning.
const blockSize = 4096

// Disk is a disk. Its methods are safe for concurrent use.
type Disk struct {
	size int64
	base *os.File

	mu      sync.Mutex // guards what follows
	durable *os.File   // each block that was ever flushed, in its place
	flushed map[int64]bool
	cache   map[int64]*[blockSize]byte
	mirror  *os.File // has what is durable, too; nil: nobody asked for it
	flush   func()   // is called when something has become durable; nil: nobody is
}

// Open makes a disk that begins as the file base, and keeps what is durable in the file layer, which is made.
func Open(base, layer string) (_ *Disk, err error) {
	file, err := os.Open(base)
	if err != nil {
		return nil, fmt.Errorf("open what the disk begins as: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("look how big the disk is: %w", err)
	}
	if info.Size()%blockSize != 0 {
		return nil, fmt.Errorf("%s is not of whole blocks", base)
	}
	durable, err := os.OpenFile(layer, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the disk's layer: %w", err)
	}
	return &Disk{size: info.Size(), base: file, durable: durable, flushed: map[int64]bool{}, cache: map[int64]*[blockSize]byte{}}, nil
}

// Fork makes another disk, with a layer of its own, that has what a power cut would leave of this one now.
func (d *Disk) Fork(layer string) (_ *Disk, err error) {
	fork, err := Open(d.base.Name(), layer)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, fork.Close())
		}
	}()
	d.mu.Lock()
	defer d.mu.Unlock()
	var block [blockSize]byte
	for number := range d.flushed {
		if _, err := d.durable.ReadAt(block[:], number*blockSize); err != nil {
			return nil, fmt.Errorf("read the disk's layer: %w", err)
		}
		if _, err := fork.durable.WriteAt(block[:], number*blockSize); err != nil {
			return nil, fmt.Errorf("write the other disk's layer: %w", err)
		}
		fork.flushed[number] = true
	}
	return fork, nil
}

// Close forgets the disk. Its layer stays.
func (d *Disk) Close() error {
	err := errors.Join(d.base.Close(), d.durable.Close())
	if d.mirror != nil {
		err = errors.Join(err, d.mirror.Close())
	}
	return err
}

// Size is how many bytes the disk has.
func (d *Disk) Size() int64 { return d.size }

// ReadAt reads what the guest would.
func (d *Disk) ReadAt(p []byte, offset int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if offset < 0 || offset+int64(len(p)) > d.size {
		return 0, errors.New("it is beyond the end of the disk")
	}
	for done := 0; done < len(p); {
		at := offset + int64(done)
		number, within := at/blockSize, at%blockSize
		part := p[done:min(len(p), done+int(blockSize-within))]
		switch block := d.cache[number]; {
		case block != nil:
			copy(part, block[within:])
		case d.flushed[number]:
			if _, err := d.durable.ReadAt(part, at); err != nil {
				return done, fmt.Errorf("read the disk's layer: %w", err)
			}
		default:
			// As many as are alike in one go: it is what most of a boot reads.
			more := p[done:]
			for next := number + 1; next*blockSize < at+int64(len(more)); next++ {
				if d.cache[next] != nil || d.flushed[next] {
					more = more[:next*blockSize-at]
				}
			}
			part = more
			if _, err := d.base.ReadAt(part, at); err != nil {
				return done, fmt.Errorf("read what the disk begins as: %w", err)
			}
		}
		done += len(part)
	}
	return len(p), nil
}

// WriteAt writes into the cache.
func (d *Disk) WriteAt(p []byte, offset int64) (int, error) {
	if offset < 0 || offset+int64(len(p)) > d.size {
		return 0, errors.New("it is beyond the end of the disk")
	}
	for done := 0; done < len(p); {
		at := offset + int64(done)
		within := at % blockSize
		part := p[done:min(len(p), done+int(blockSize-within))]
		block := new([blockSize]byte)
		if len(part) < blockSize {
			if _, err := d.ReadAt(block[:], at-within); err != nil {
				return done, err
			}
		}
		copy(block[within:], part)
		d.mu.Lock()
		d.cache[at/blockSize] = block
		d.mu.Unlock()
		done += len(part)
	}
	return len(p), nil
}

// Flush makes durable what is in the cache.
func (d *Disk) Flush() error {
	return d.flushThose(func(int64) bool { return true })
}

// FlushRange makes durable what of a range is in the cache.
func (d *Disk) FlushRange(offset, length int64) error {
	return d.flushThose(func(number int64) bool { return number >= offset/blockSize && number*blockSize < offset+length })
}

// flushThose makes blocks durable that are in the cache, and then says so to whoever watches.
func (d *Disk) flushThose(meant func(number int64) bool) error {
	some, watcher, err := d.flushCached(meant)
	if err == nil && some && watcher != nil {
		watcher()
	}
	return err
}

func (d *Disk) flushCached(meant func(number int64) bool) (some bool, watcher func(), err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for number := range d.cache {
		if !meant(number) {
			continue
		}
		if err := d.flushBlock(number); err != nil {
			return some, nil, err
		}
		some = true
	}
	return some, d.flush, nil
}

func (d *Disk) flushBlock(number int64) error {
	if _, err := d.durable.WriteAt(d.cache[number][:], number*blockSize); err != nil {
		return fmt.Errorf("write the disk's layer: %w", err)
	}
	if d.mirror != nil {
		if _, err := d.mirror.WriteAt(d.cache[number][:], number*blockSize); err != nil {
			return fmt.Errorf("write the disk's mirror: %w", err)
		}
	}
	d.flushed[number] = true
	delete(d.cache, number)
	return nil
}

// CutPower loses what is in the cache, and says how many bytes it was. Nobody may be using the disk.
func (d *Disk) CutPower() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	lost := int64(len(d.cache)) * blockSize
	clear(d.cache)
	return lost
}

// WriteTo makes a file, in which zeros take no room, of what is durable.
func (d *Disk) WriteTo(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writeTo(path)
}

// Watch makes a file of what is durable, in which it stays up to date, and calls a function each time that something has become
// durable, before the user of the disk hears of it. As that waits, the function has the disk to itself: it may Fork it, and write
// into the file, if it puts all back. What is durable changes in no other way, so the function misses nothing that a power
// cut could leave. A disk is watched once.
func (d *Disk) Watch(mirror string, flushed func()) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mirror != nil {
		return errors.New("the disk is watched already")
	}
	if err := d.writeTo(mirror); err != nil {
		return err
	}
	file, err := os.OpenFile(mirror, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open the disk's mirror: %w", err)
	}
	d.mirror, d.flush = file, flushed
	return nil
}

// Unwatch ends Watch's calls, of which one may be under way yet. The file stays up to date.
func (d *Disk) Unwatch() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flush = nil
}

func (d *Disk) writeTo(path string) (err error) {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make the file of a disk: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := out.Truncate(d.size); err != nil {
		return fmt.Errorf("make the file of a disk: %w", err)
	}
	var block, zero [blockSize]byte
	for number := int64(0); number*blockSize < d.size; number++ {
		from := d.base
		if d.flushed[number] {
			from = d.durable
		}
		if _, err := from.ReadAt(block[:], number*blockSize); err != nil {
			return fmt.Errorf("read a disk: %w", err)
		}
		if block == zero {
			continue
		}
		if _, err := out.WriteAt(block[:], number*blockSize); err != nil {
			return fmt.Errorf("write the file of a disk: %w", err)
		}
	}
	return nil
}
