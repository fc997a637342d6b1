// Package statedir holds the directory in which an executor keeps what must outlive it.
package statedir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// lockName is the file that is locked. It is empty, and stays when the lock is gone: removing it would let two executors
// each lock a file of that name.
const lockName = "lock"

// Dir is a state directory that belongs to this process alone until it is closed, or the process ends.
type Dir struct{ lock *os.File }

// Open makes the directory if it is missing, for its owner only, and locks it. That another executor has it is an error at
// once: two that configure one node would undo each other's work for ever.
func Open(path string) (*Dir, error) {
	const onlyOwner = 0o700
	if err := os.MkdirAll(path, onlyOwner); err != nil {
		return nil, fmt.Errorf("make the directory: %w; choose one that this user may write", err)
	}
	const onlyOwnersFile = 0o600
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_RDWR, onlyOwnersFile)
	if err != nil {
		return nil, fmt.Errorf("lock the directory: %w; choose one that this user may write", err)
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.Join(errors.New("another executor is using it: stop that one, or choose another directory"), lock.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", lock.Name(), err), lock.Close())
	}

	return &Dir{lock: lock}, nil
}

// Close gives the directory free.
func (d *Dir) Close() error {
	if err := d.lock.Close(); err != nil {
		return fmt.Errorf("unlock %s: %w", d.lock.Name(), err)
	}

	return nil
}
