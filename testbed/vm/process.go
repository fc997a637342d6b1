package vm

import (
	"os/exec"
	"runtime"
	"syscall"
)

// startBound starts a program that is killed when this process ends, and says so. The caller must wait for it, on the same
// goroutine: the program's life is bound to the thread that has started it.
func startBound(cmd *exec.Cmd, started chan<- error) error {
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err := cmd.Start()
	started <- err
	return err
}
