package node

import (
	"context"
	"syscall"
)

// ServeDHCP has the host give addresses from low to high to who asks for one on its wire, for a day each, so that no renewal falls into a test, and
// itself as the router. It ends with the test. It needs dnsmasq (Debian package dnsmasq-base).
func (h *Host) ServeDHCP(low, high string) { h.t.Helper(); h.serveDHCP(low, high, "24h") }

// ServeEndlessDHCP is ServeDHCP with leases that never end.
func (h *Host) ServeEndlessDHCP(low, high string) { h.t.Helper(); h.serveDHCP(low, high, "infinite") }

func (h *Host) serveDHCP(low, high, lease string) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	server := h.Command(ctx, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--no-ping", "--user=root", "--pid-file=",
		"--log-facility=-", "--interface="+h.Device, "--bind-interfaces", "--dhcp-authoritative",
		"--dhcp-leasefile=/dev/null", "--dhcp-range="+low+","+high+","+lease)
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		cancel()
		h.t.Fatalf("serve DHCP (Debian package dnsmasq-base): %v", err)
		return
	}
	h.t.Cleanup(func() {
		cancel()
		_ = server.Wait() // It was killed.
	})
}
