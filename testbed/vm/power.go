package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"multinic.dev/testbed/vm/order"
	"multinic.dev/testbed/waiting"
)

// Start switches the machine on from the snapshot, with a clock, a host name and a machine-id of its own, and plugs its
// cards in. That is only possible the first time: after that its disk is not the snapshot's any more.
func (v *VM) Start() {
	v.t.Helper()
	if v.begun {
		v.t.Fatalf("the virtual machine %s was on before: Boot it", v.name)
	}
	ctx, cancel := waiting.For(v.t, patience, waiting.ToSay)
	defer cancel()
	m := v.switchOn(ctx, way{from: filepath.Join(v.snapshot, state)})
	if _, _, err := m.ask(ctx, identity(v.name), nil); err != nil {
		v.t.Fatalf("start %s: %v; %s", v.name, err, m.story())
	}
	for _, nic := range v.cards {
		if err := nic.plugInto(ctx, m); err != nil {
			v.t.Fatalf("plug a card into %s: %v; %s", v.name, err, m.story())
		}
	}
	v.listenAgain(ctx, m)
}

// Boot switches the machine on, and returns when its systemd has started all that it starts. Its cards are there from the
// start, in the order in which they were plugged in. That a unit failed is logged.
func (v *VM) Boot() {
	v.t.Helper()
	v.BootWhile(func() {})
}

// BootWhile is Boot, and calls a function as soon as qemu runs, when the guest's kernel has hardly begun.
func (v *VM) BootWhile(meanwhile func()) {
	v.t.Helper()
	ctx, cancel := waiting.For(v.t, patience, waiting.ToSay)
	defer cancel()
	var w way
	for i, nic := range v.cards {
		w.files = append(w.files, nic.tap())
		device, err := json.Marshal(nic.device())
		if err != nil {
			v.t.Fatalf("word a card of %s: %v", v.name, err)
		}
		w.more = append(w.more, "-netdev", fmt.Sprintf("tap,id=%s,fd=%d", nic.network(), 3+i), "-device", string(device))
	}
	m := v.switchOn(ctx, w)
	for _, file := range w.files {
		if err := file.Close(); err != nil {
			v.t.Fatalf("close a cable of %s: %v", v.name, err)
		}
	}
	for _, nic := range v.cards {
		if err := nic.setCarrier(ctx, m); err != nil {
			v.t.Fatalf("boot %s: %v; %s", v.name, err, m.story())
		}
	}
	meanwhile()
	how, err := m.quiet(ctx)
	if err != nil {
		v.t.Fatalf("boot %s: %v; %s", v.name, err, m.story())
	}
	if how != "running" {
		failed, _ := v.Run("systemctl", "--failed", "--no-legend", "--plain")
		v.t.Logf("the virtual machine %s is %s: %s", v.name, how, failed)
	}
	v.listenAgain(ctx, m)
}

// ByDebian has the machine boot, from the next time on, as one that Debian's installer has made: by the initrd that Debian
// itself has made, whose udev names the links first, and with the names that they have then, such as ens16. The agent moves
// onto the disk for it, under a name that nobody takes for that of multinic's predecessor. The machine must run.
func (v *VM) ByDebian() {
	v.t.Helper()
	v.MustRun("sh", "-ec", `
name=multinic-agent
install -m 0755 /run/$name/agent /usr/local/sbin/testbed-agent
sed "s|^ExecStart=.*|ExecStart=/usr/local/sbin/testbed-agent|" /run/systemd/system/$name.service >/etc/systemd/system/$name.service
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -sfn /etc/systemd/system/$name.service /etc/systemd/system/multi-user.target.wants/$name.service
sync`)
	v.debian = true
}

// listenAgain makes the sockets that are forwarded.
func (v *VM) listenAgain(ctx context.Context, m *machine) {
	v.t.Helper()
	v.mu.Lock()
	sockets := slices.Sorted(maps.Keys(v.forwards))
	v.mu.Unlock()
	for _, guest := range sockets {
		if err := v.listenIn(ctx, m, guest); err != nil {
			v.t.Fatalf("forward %s of %s: %v", guest, v.name, err)
		}
	}
}

// Configured waits until networkd has done with links all that it was asked for.
func (v *VM) Configured(links ...string) {
	v.t.Helper()
	args := []string{"--timeout=120"}
	for _, link := range links {
		args = append(args, "--interface="+link+":carrier") // A trunk may have no address at all, and is then no more than that.
	}
	if out, code := v.Run("/lib/systemd/systemd-networkd-wait-online", args...); code != 0 {
		state, _ := v.Run("networkctl", append([]string{"--no-pager", "--full", "status"}, links...)...)
		v.t.Fatalf("%s has not configured %s: %s%s", v.name, strings.Join(links, ", "), out, state)
	}
}

// Shutdown shuts the machine down in good order, and returns when it is off. It does nothing if it is.
func (v *VM) Shutdown() {
	v.t.Helper()
	m := v.machine()
	if m == nil {
		return
	}
	ctx, cancel := waiting.For(v.t, patience, waiting.ToSay)
	defer cancel()
	if out, code, err := m.ask(ctx, &order.Order{Do: order.Run, Args: []string{"systemctl", "--no-block", "poweroff"}}, nil); err != nil || code != 0 {
		v.t.Logf("shut %s down: systemctl exited with %d, error %v: %s", v.name, code, err, out) // Its answer may not come any more.
	}
	select {
	case <-m.ended:
	case <-ctx.Done():
		v.t.Fatalf("shut %s down: it has not ended in time; %s", v.name, m.story())
	}
	v.off(m)
}

// AwaitOff returns when the machine has switched itself off, or would have rebooted: somebody inside told it to.
func (v *VM) AwaitOff() {
	v.t.Helper()
	m := v.mustRun()
	ctx, cancel := waiting.For(v.t, patience, waiting.ToSay)
	defer cancel()
	select {
	case <-m.ended:
	case <-ctx.Done():
		v.t.Fatalf("wait for the end of %s: it has not ended in time; %s", v.name, m.story())
	}
	v.off(m)
}

// Reboot shuts the machine down in good order and boots it again.
func (v *VM) Reboot() {
	v.t.Helper()
	v.Shutdown()
	v.Boot()
}

// Kill cuts the machine's power: all that runs in it ends at once, and what it has not flushed to its disk is lost. It does
// nothing if the machine is off.
func (v *VM) Kill() {
	v.t.Helper()
	m := v.machine()
	if m == nil {
		return
	}
	if err := m.kill(); err != nil {
		v.t.Fatalf("cut the power of %s: %v", v.name, err)
	}
	v.off(m)
}

// off takes note that a machine has ended.
func (v *VM) off(m *machine) {
	v.t.Helper()
	v.disk.CutPower()
	if err := m.tidy(); err != nil {
		v.t.Fatalf("end %s: %v", v.name, err)
	}
	for _, nic := range v.cards {
		nic.port = ""
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.running = nil
}
