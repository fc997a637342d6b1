package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"multinic.dev/testbed/node"
	"multinic.dev/testbed/waiting"
)

// firstSlot is the first of the guest's PCI slots that cards are plugged into; those before it are the machine's own.
// Debian's kernel calls the first card eth0 whatever its slot, if it is there first.
const (
	firstSlot = 0x10
	lastSlot  = 0x1f
)

// NIC is a network card of a virtual machine, of virtio's, that is on a wire.
type NIC struct {
	vm   *VM
	wire *node.Wire
	slot int
	id   string
	// MAC is its permanent address.
	MAC string
	// disconnected is whether its cable is pulled out.
	disconnected bool
	// plugged is whether it is plugged in.
	plugged bool
	// port is the name of the wire's end of its cable; empty while the machine is off.
	port string
}

// Option changes how a card is plugged in.
type Option func(nic *NIC)

// Slot has a card plugged into one of the guest's PCI slots, from 16 to 31, instead of the first that is free.
func Slot(slot int) Option { return func(nic *NIC) { nic.slot = slot } }

// PlugIn gives the machine a card with a MAC address: at once if it runs, else it is there when it boots, or as soon as it
// has started from the snapshot. Without a wire the card gets one to itself.
func (v *VM) PlugIn(mac string, w *node.Wire, options ...Option) *NIC {
	v.t.Helper()
	v.plugs++
	if w == nil {
		w = node.NewWire(v.t, fmt.Sprintf("%s-wire%d", v.name, v.plugs))
	}
	nic := &NIC{vm: v, wire: w, id: "nic" + strconv.Itoa(v.plugs), MAC: mac}
	for _, option := range options {
		option(nic)
	}
	if nic.slot == 0 {
		nic.slot = v.freeSlot()
	}
	nic.plugged = true
	v.cards = append(v.cards, nic)
	if m := v.machine(); m != nil {
		ctx, cancel := waiting.For(v.t, patience, waiting.ToSay)
		defer cancel()
		if err := nic.plugInto(ctx, m); err != nil {
			v.t.Fatalf("plug a card into %s: %v; %s", v.name, err, m.story())
		}
	}
	return nic
}

// PlugInAgain plugs a card in again that was unplugged, on the same wire, and into the same slot unless an option says
// another.
func (nic *NIC) PlugInAgain(options ...Option) *NIC {
	nic.vm.t.Helper()
	return nic.vm.PlugIn(nic.MAC, nic.wire, append([]Option{Slot(nic.slot)}, options...)...)
}

func (v *VM) freeSlot() int {
	v.t.Helper()
	for slot := firstSlot; slot <= lastSlot; slot++ {
		if !slices.ContainsFunc(v.cards, func(nic *NIC) bool { return nic.slot == slot }) {
			return slot
		}
	}
	v.t.Fatalf("%s has no slot left for a card", v.name)
	return 0
}

// device is what qemu is told of the card, once it knows the network as the card's id.
func (nic *NIC) device() map[string]any {
	return map[string]any{
		"driver": "virtio-net-pci", "id": nic.id, "netdev": nic.network(), "mac": nic.MAC, "bus": "pci.0",
		"addr": fmt.Sprintf("0x%x", nic.slot), "romfile": "",
	}
}

func (nic *NIC) network() string { return "wire-" + nic.id }

// tap is a cable for the card to its wire.
func (nic *NIC) tap() *os.File {
	nic.vm.t.Helper()
	tap := nic.wire.NewTap()
	nic.port = tap.Port()
	if nic.disconnected {
		nic.wire.IP("link", "set", nic.port, "down")
	}
	return tap.File
}

// plugInto plugs the card into a machine that runs.
func (nic *NIC) plugInto(ctx context.Context, m *machine) error {
	tap := nic.tap()
	_, err := m.monitor.doWith(ctx, int(tap.Fd()), "getfd", map[string]any{"fdname": nic.id})
	if err := errors.Join(err, tap.Close()); err != nil {
		return err
	}
	if _, err := m.monitor.do(ctx, "netdev_add", map[string]any{"type": "tap", "id": nic.network(), "fd": nic.id}); err != nil {
		return err
	}
	if _, err := m.monitor.do(ctx, "device_add", nic.device()); err != nil {
		return err
	}
	return nic.setCarrier(ctx, m)
}

// setCarrier tells the guest whether there is somebody at the other end of the cable.
func (nic *NIC) setCarrier(ctx context.Context, m *machine) error {
	_, err := m.monitor.do(ctx, "set_link", map[string]any{"name": nic.id, "up": !nic.disconnected})
	return err
}

// Unplug takes the card away. It returns when the guest has let go of it.
func (nic *NIC) Unplug() {
	nic.vm.t.Helper()
	v := nic.vm
	if !nic.plugged {
		v.t.Fatalf("the card %s of %s is not plugged in", nic.MAC, v.name)
	}
	nic.plugged = false
	v.cards = slices.DeleteFunc(v.cards, func(other *NIC) bool { return other == nic })
	m := v.machine()
	if m == nil {
		return
	}
	ctx, cancel := waiting.For(v.t, patience, waiting.ToSay)
	defer cancel()
	if err := nic.unplugFrom(ctx, m); err != nil {
		v.t.Fatalf("unplug the card %s of %s: %v; %s", nic.MAC, v.name, err, m.story())
	}
}

func (nic *NIC) unplugFrom(ctx context.Context, m *machine) error {
	if _, err := m.monitor.do(ctx, "device_del", map[string]any{"id": nic.id}); err != nil {
		return err
	}
	err := m.monitor.await(ctx, "taken the card away", func(e message) bool { return e.Event == "DEVICE_DELETED" && e.Data["device"] == nic.id })
	if err != nil {
		return err
	}
	_, err = m.monitor.do(ctx, "netdev_del", map[string]any{"id": nic.network()})
	nic.port = ""
	return err
}

// Disconnect pulls the card's cable: the link stays, without a carrier.
func (nic *NIC) Disconnect() {
	nic.vm.t.Helper()
	nic.connect(false)
}

// Reconnect plugs the cable in again.
func (nic *NIC) Reconnect() {
	nic.vm.t.Helper()
	nic.connect(true)
}

func (nic *NIC) connect(connected bool) {
	nic.vm.t.Helper()
	nic.disconnected = !connected
	m := nic.vm.machine()
	if m == nil || !nic.plugged {
		return
	}
	way := map[bool]string{true: "up", false: "down"}[connected]
	nic.wire.IP("link", "set", nic.port, way)
	ctx, cancel := waiting.For(nic.vm.t, patience, waiting.ToSay)
	defer cancel()
	if err := nic.setCarrier(ctx, m); err != nil {
		nic.vm.t.Fatalf("pull or plug the cable of %s of %s: %v; %s", nic.MAC, nic.vm.name, err, m.story())
	}
}

// Link waits until the guest's kernel knows the card, and returns what it calls it, whatever MAC it has by then.
func (nic *NIC) Link() string {
	nic.vm.t.Helper()
	// Each look takes the guest some milliseconds.
	return strings.TrimSpace(nic.vm.MustRun("sh", "-c", fmt.Sprintf(
		"until ls /sys/bus/pci/devices/0000:00:%02x.0/virtio*/net 2>/dev/null; do sleep 0.02; done", nic.slot)))
}

// Wire is what the card is plugged into.
func (nic *NIC) Wire() *node.Wire { return nic.wire }

// Port is the name of the wire's end of the card's cable, while the machine runs.
func (nic *NIC) Port() string { return nic.port }
