// Program pause is all that is in the lab's image: it holds a pod's namespaces, and shows a file.
//
// With `-f FILE`, as tail(1) has it, it prints the file first. Either way it then stays until it is asked to end. What it
// gets as the first process of a pod it reaps.
package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	if len(os.Args) == 3 && os.Args[1] == "-f" {
		if err := show(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		reap()
	}
}

func show(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(os.Stdout, file); err != nil {
		return err
	}
	return file.Close()
}

// reap takes note of all that have ended: several may have, for one signal.
func reap() {
	for {
		if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 && err != syscall.EINTR {
			return
		}
	}
}
