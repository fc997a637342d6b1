// Package statedir holds the directory in which an executor keeps what must outlive it.
package statedir

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// lockName is the file that is locked. It is empty, and stays when the lock is gone: removing it would let two executors
// each lock a file of that name.
const lockName = "lock"

// nodeName is the abstract socket (unix(7)) whose name one executor of a node has, whatever its state directory. Each network
// namespace has such names of its own, and the kernel gives one free with its process.
const nodeName = "@multinic-executor"

// Dir is a state directory that belongs to this process alone, as the node does, until it is closed, or the process ends.
type Dir struct {
	lock *os.File
	node net.Listener
}

// Open makes the directory if it is missing, for its owner only, and locks it, and the node with it: the network namespace of the
// calling thread. That another executor has either is an error at once: two that configure one node would undo each other's work for
// ever.
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
		return nil, errors.Join(errors.New("another executor is using it: stop that one"), lock.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", lock.Name(), err), lock.Close())
	}

	node, err := net.Listen("unix", nodeName) //nolint:noctx // it takes no time
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, errors.Join(errors.New("another executor runs on this node, with another state directory: stop that one"), lock.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the node: %w", err), lock.Close())
	}

	if err := sweep(path); err != nil {
		return nil, errors.Join(err, node.Close(), lock.Close())
	}

	return &Dir{lock: lock, node: node}, nil
}

// sweep removes what an executor that was killed in the middle of writing a file has left of it: the new content, under a name that
// begins with a dot (see package durable).
func sweep(path string) error {
	left, err := filepath.Glob(filepath.Join(path, ".*.json*"))
	if err != nil {
		return fmt.Errorf("look for what was left behind: %w", err)
	}
	for _, file := range left {
		err = errors.Join(err, os.Remove(file))
	}

	return err
}

// Close gives the directory free.
func (d *Dir) Close() error {
	if err := errors.Join(d.node.Close(), d.lock.Close()); err != nil {
		return fmt.Errorf("unlock %s: %w", d.lock.Name(), err)
	}

	return nil
}
