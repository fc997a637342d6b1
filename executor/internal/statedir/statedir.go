// Package statedir holds the directory in which an executor keeps what must outlive it.
package statedir

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
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
	node net.Listener // nil: see lockNode
}

// OpenExisting is Open for a directory that is there.
func OpenExisting(path string) (*Dir, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("%w; give the directory that the node's executor has", err)
	}

	return Open(path)
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

	node, err := lockNode()
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	dir := &Dir{lock: lock, node: node}
	if err := sweep(path); err != nil {
		return nil, errors.Join(err, dir.Close())
	}

	return dir, nil
}

// lockNode takes the node's name; nil without an error: a process has it that is no executor, and could not be one. Anybody may have
// an abstract name, and must not keep the node from its executor by that.
func lockNode() (net.Listener, error) {
	node, err := net.Listen("unix", nodeName) //nolint:noctx // it takes no time
	if err == nil {
		return node, nil
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("lock the node: %w", err)
	}
	holder, err := holderOfNode()
	if err != nil {
		return nil, err
	}
	if holder.Uid != 0 && holder.Uid != uint32(os.Geteuid()) {
		return nil, nil //nolint:nilnil // as the comment says
	}

	return nil, errors.New("another executor runs on this node, with another state directory: stop that one")
}

// holderOfNode is who has the node's name.
func holderOfNode() (*unix.Ucred, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("find out who has locked the node: %w", err)
	}
	defer func() { _ = unix.Close(fd) }() // Nothing was written.
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: nodeName}); err != nil {
		return nil, fmt.Errorf("another process has locked the node (the abstract socket %s) and does not say who it is: %w", nodeName, err)
	}
	holder, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return nil, fmt.Errorf("find out who has locked the node: %w", err)
	}

	return holder, nil
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
	var err error
	if d.node != nil {
		err = d.node.Close()
	}
	if err := errors.Join(err, d.lock.Close()); err != nil {
		return fmt.Errorf("unlock %s: %w", d.lock.Name(), err)
	}

	return nil
}
