package container

import (
	"syscall"

	"multinic.dev/testbed/waiting"
)

// powerOff asks systemd to power off: systemd(1) has it as SIGRTMIN+4, of the C library's real-time signals, of which it
// keeps the kernel's first two to itself.
const powerOff = syscall.Signal(34 + 4)

// Boot switches the container on, and returns when its systemd has started all that it starts. Cards that were plugged
// in before are there again, bare and under their first names. That a unit failed is logged.
func (c *Container) Boot() {
	c.t.Helper()
	if c.machine() != nil {
		c.t.Fatalf("the container %s runs already", c.Name())
	}
	if c.booted {
		c.Restart()
	}
	c.booted = true
	m, err := start(c.Node, c.Root())
	if err != nil {
		c.t.Fatalf("boot the container %s: %v", c.Name(), err)
	}
	c.mu.Lock()
	c.running = m
	c.mu.Unlock()
	ctx, cancel := waiting.For(c.t, patience, waiting.ToSay)
	defer cancel()
	state, err := m.started(ctx)
	if err != nil {
		c.t.Fatalf("boot the container %s: %v\nnspawn printed:\n%sin it runs:\n%s", c.Name(), err, &m.output, m.processes())
	}
	if state != "running" {
		failed, _ := c.Run("systemctl", "--failed", "--no-legend", "--plain")
		c.t.Logf("the container %s is %s: %s", c.Name(), state, failed)
	}
}

// Reboot shuts the container down in good order and boots it again.
func (c *Container) Reboot() {
	c.t.Helper()
	c.Shutdown()
	c.Boot()
}

// Shutdown shuts the container down in good order, and returns when it is off. It does nothing if it is.
func (c *Container) Shutdown() {
	c.t.Helper()
	c.end("shut down", powerOff)
}

// Kill cuts the container's power: all that runs in it ends at once. What it had written is on its disk, whether it had
// synced it or not; what a real disk loses is not shown. It does nothing if the container is off.
func (c *Container) Kill() {
	c.t.Helper()
	c.end("cut the power of", syscall.SIGKILL)
}

// AwaitOff returns when the container has switched itself off, or would have rebooted: somebody inside told it to.
func (c *Container) AwaitOff() {
	c.t.Helper()
	c.end("wait for the end of", 0)
}

func (c *Container) end(doing string, with syscall.Signal) {
	c.t.Helper()
	m := c.machine()
	if m == nil {
		return
	}
	reserve := waiting.ToSay
	if with == syscall.SIGKILL {
		reserve = toEnd
	}
	ctx, cancel := waiting.For(c.t, patience, reserve)
	defer cancel()
	if err := m.end(ctx, with); err != nil {
		c.t.Fatalf("%s the container %s: %v\nnspawn printed:\n%sin it runs:\n%s", doing, c.Name(), err, &m.output, m.processes())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = nil
}
