package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockInterval is how often somebody who waits for another's tree looks whether it is there.
const lockInterval = 100 * time.Millisecond

// Kept is the path of what is kept under a name, which must say all that it is made of. It is built now if it is not
// there: build makes a file or a folder at a path beside its place. It lives in MULTINIC_CACHE, or in multinic below the
// user's cache folder, outside any checkout. Whoever asks for something that somebody else is building waits for that.
func Kept(ctx context.Context, name string, build func(ctx context.Context, building string) error) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	place := filepath.Join(cache, name)
	if _, err := os.Stat(place); err == nil {
		return place, nil
	}
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", fmt.Errorf("make the cache folder: %w", err)
	}
	return place, alone(ctx, place+".lock", func() error { return put(ctx, place, build) })
}

// put builds something beside its place and moves it there. What an earlier attempt, that was killed, has left goes first.
func put(ctx context.Context, place string, build func(ctx context.Context, building string) error) (err error) {
	if _, err := os.Stat(place); err == nil {
		return nil // Somebody else was first.
	}
	building := place + ".new"
	if err := os.RemoveAll(building); err != nil {
		return fmt.Errorf("remove what was left of an earlier attempt: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(building)) }()
	if err := build(ctx, building); err != nil {
		return err
	}
	if err := os.Rename(building, place); err != nil {
		return fmt.Errorf("put it in its place: %w", err)
	}
	return nil
}

// cacheDir is where trees are kept.
func cacheDir() (string, error) {
	if cache := os.Getenv("MULTINIC_CACHE"); cache != "" {
		return cache, nil
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a cache folder (set MULTINIC_CACHE): %w", err)
	}
	return filepath.Join(user, "multinic"), nil
}

// alone calls f while no other process is at the same, which the lock file says. The file is kept: were it removed, the
// next two could each have a lock of their own.
func alone(ctx context.Context, lock string, f func() error) (err error) {
	file, err := os.OpenFile(lock, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("make the lock file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	tick := time.NewTicker(lockInterval)
	defer tick.Stop()
	for {
		switch err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
		case err == nil:
			return f()
		case !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("lock %s: %w", lock, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for whoever has locked %s: %w", lock, ctx.Err())
		}
	}
}
