package fleet

import (
	"errors"
	"fmt"

	"multinic.dev/lab/program"
	"multinic.dev/testbed/oracle"
	"multinic.dev/testbed/vm"
)

const (
	// guestExecutor is where a virtual machine has the executor, and guestSocket the socket that leads to the dispatcher.
	guestExecutor = "/usr/local/bin/multinic-executor"
	guestSocket   = "/run/multinic/dispatcher.sock"
)

// Guest is a node of the fleet that is a virtual machine, in which its executor runs.
type Guest struct {
	*vm.VM

	fleet *Fleet
	// Executor is the program; nil before StartExecutor.
	Executor *vm.Program
}

// AddVM makes a virtual machine that runs a node, and puts an executor that needs nothing of its machine into it (program.BuildStatic).
// The machine must have been made before the fleet, which it outlives.
func (f *Fleet) AddVM(v *vm.VM, executor string) *Guest {
	f.t.Helper()
	v.Put(executor, guestExecutor)

	return f.TakeVM(v)
}

// TakeVM is AddVM for a machine that has the executor already, as its disk is that of one which was added.
func (f *Fleet) TakeVM(v *vm.VM) *Guest {
	f.t.Helper()
	g := &Guest{VM: v, fleet: f}
	v.Forward(guestSocket, f.Socket())
	f.t.Cleanup(g.end)

	return g
}

// end stops the executor if it runs, and looks at how it went.
func (g *Guest) end() {
	g.fleet.t.Helper()
	if g.Executor == nil {
		return
	}
	var err error
	if g.Executor.Running() {
		code, stop := g.Executor.Stop()
		if err = stop; code != 0 {
			err = errors.Join(err, fmt.Errorf("the executor of %s ended with code %d", g.Name(), code))
		}
	}
	if scandal := program.Scandal(g.Executor.Log()); scandal != "" {
		err = errors.Join(err, errors.New(scandal))
	}
	if failed, ok := g.fleet.t.(interface{ Failed() bool }); err != nil || ok && failed.Failed() {
		g.fleet.t.Logf("%s", g.Executor.Log())
	}
	g.fleet.must(err)
}

// StartExecutor starts the node's executor, with further arguments.
func (g *Guest) StartExecutor(arguments ...string) {
	g.fleet.t.Helper()
	if g.Executor != nil {
		if scandal := program.Scandal(g.Executor.Log()); scandal != "" {
			g.fleet.t.Fatalf("%s", scandal)
		}
	}
	executor := g.Spawn(guestExecutor, append([]string{
		"--identity=insecure", "--dispatcher=unix:" + guestSocket, "--node-name=" + g.Name(), "--state-dir=/var/lib/multinic",
	}, arguments...)...)
	g.Executor = executor
	g.fleet.Until(func() bool { return executor.Log() != "" || !executor.Running() },
		func() string { return "the executor of " + g.Name() + " has said nothing" })
}

// Local runs one of the executor's commands for people on the node, such as "status", and returns what it prints, and its exit code.
func (g *Guest) Local(command string) (string, int) {
	g.fleet.t.Helper()

	return g.Run(guestExecutor, command, "--state-dir=/var/lib/multinic")
}

// Judge has the oracle compare the guest's kernel with rows, and returns what is wrong, a line each.
func (g *Guest) Judge(expect oracle.Expect, rows ...Row) string {
	g.fleet.t.Helper()

	return g.fleet.judge(g.Name(), g.VM, expect, rows)
}
