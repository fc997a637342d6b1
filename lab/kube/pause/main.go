// Program pause is all that is in the lab's image: it holds a pod's namespaces, and shows a file.
//
// As tail(1) has it, it prints a file and ends, or with `-f FILE` prints it and stays until it is asked to end, as it does
// without arguments. What it gets as the first process of a pod it reaps.
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
	if len(os.Args) > 1 {
		if err := show(os.Args[len(os.Args)-1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if os.Args[1] != "-f" {
			return
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
