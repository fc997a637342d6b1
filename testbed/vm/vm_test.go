package vm_test

import (
	"testing"
	"time"

	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/vm"
)

func TestMain(m *testing.M) { vm.Main(m) }

func TestStart(t *testing.T) {
	for _, r := range []debian.Release{debian.Bookworm, debian.Trixie} {
		t.Run(string(r), func(t *testing.T) {
			v := vm.New(t, r, "node-1")
			began := time.Now()
			v.Start()
			t.Logf("started in %v", time.Since(began))
			t.Log(v.Run("sh", "-c", "hostname; date; uptime; cat /etc/machine-id; journalctl -n 3 --no-pager; netplan info; free; ls /run/log/journal"))
			t.Logf("ran in %v", time.Since(began))
		})
	}
}
