package vm_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"

	"multinic.dev/lab/program"
	"multinic.dev/testbed/node"
)

// serveDHCP has a host with the address 192.0.2.1 give 192.0.2.5 to the guest's own card, with itself as the gateway, until the test ends.
func serveDHCP(t *testing.T, gateway *node.Host) {
	t.Helper()
	path, err := exec.LookPath("dnsmasq")
	if err != nil {
		t.Fatal("this test needs dnsmasq, which is not in PATH: install the Debian package dnsmasq-base")
	}
	server, err := program.Start("DHCP server", gateway.Command(context.Background(), path,
		"--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--port=0", "--user=root", "--pid-file=", "--no-ping",
		"--dhcp-authoritative", "--dhcp-leasefile="+filepath.Join(t.TempDir(), "leases"),
		// No renewal falls into a test.
		"--dhcp-range=192.0.2.5,192.0.2.5,255.255.255.0,24h", "--dhcp-host="+own+",192.0.2.5", "--dhcp-option=option:router,192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Errorf("%v: %s", err, server.Log())
		}
	})
}
