package vm

import (
	"bytes"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// output is what somebody prints while others may look at it.
type output struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// startBound starts a program that is killed when this process ends, and says so. The caller must wait for it, on the same
// goroutine: the program's life is bound to the thread that has started it.
func startBound(cmd *exec.Cmd, started chan<- error) error {
	runtime.LockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err := cmd.Start()
	started <- err
	return err
}
