package networkd

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/testbed/container"
	"multinic.dev/testbed/debian"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/node"
)

func TestMain(m *testing.M) { container.Main(m) }

// safe is what networkd.conf must say.
const safe = "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\nManageForeignNextHops=no\n"

// onBoth runs a test on booted hosts of both releases, with networks of their own, and two NICs.
func onBoth(t *testing.T, settings string, test func(t *testing.T, host *container.Container, m *Manager)) {
	t.Helper()
	for _, release := range []debian.Release{debian.Bookworm, debian.Trixie} {
		t.Run(string(release), func(t *testing.T) {
			host := container.New(t, release, "host-"+string(release))
			underlay, wire := node.NewWire(t, "underlay-"+string(release)[:4]), node.NewWire(t, "wire-"+string(release)[:4])
			host.Write("/etc/netplan/50-own.yaml", 0o600, "network:\n  version: 2\n  ethernets:\n    eth0:\n      accept-ra: false\n      addresses: [192.0.2.5/24]\n      routes: [{to: default, via: 192.0.2.1}]\n")
			if settings != "" {
				host.Write("/etc/systemd/networkd.conf.d/foreign.conf", 0o644, settings)
			}
			host.PlugIn("eth0", "02:00:5e:10:00:01", underlay)
			host.PlugIn("multinic0", "02:00:5e:10:01:00", wire)
			host.PlugIn("multinic1", "02:00:5e:10:01:01", wire)
			host.Boot()
			host.Configured("eth0")
			test(t, host, Open(host.Live()))
		})
	}
}

func config(address, gateway string) plan.Config {
	spec := plan.Spec{Address: netip.MustParsePrefix(address)}
	if gateway != "" {
		spec.Gateway = netip.MustParseAddr(gateway)
	}
	return plan.Config{NIC: "multinic0", MAC: "02:00:5e:10:01:00", ByName: true, Interfaces: []plan.Interface{{Spec: spec}}}
}

func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// foreigners puts into the kernel what others have there.
func foreigners(host *container.Container) {
	for _, command := range []string{
		"route add 10.245.0.0/16 via 192.0.2.1 dev eth0 table 100 proto static", "route add blackhole 10.244.9.0/26 proto 80",
		"route add 10.247.0.0/16 nexthop via 192.0.2.1 dev eth0 nexthop via 192.0.2.2 dev eth0", "address add 192.0.2.77/32 dev eth0",
		"nexthop add id 77 via 192.0.2.1 dev eth0", "rule add fwmark 0x200/0xf00 lookup 100 pref 9", "rule add from 10.244.0.0/16 lookup 100 pref 111",
	} {
		host.IP(strings.Fields(command)...)
	}
}

// ours says whether an event is of the NICs, or of their rules.
func ours(event monitor.Event) bool {
	return strings.HasPrefix(event.Link, "multi") || strings.HasPrefix(event.Kind, "rule") && slices.ContainsFunc([]string{"25000", "25001", "25002", "32764", "32765"},
		func(preference string) bool { return strings.HasSuffix(event.Text, preference) })
}

// TestNetworkdSetsUpWhatItIsToldAndTouchesNothingElse where it is set up for that. What it would do otherwise is the control.
func TestNetworkdSetsUpWhatItIsToldAndTouchesNothingElse(t *testing.T) {
	onBoth(t, safe, func(t *testing.T, host *container.Container, m *Manager) {
		t.Helper()
		foreigners(host)
		heard := monitor.Start(t, host.Node)
		tell := func(want string, configs []plan.Config, forget ...string) {
			t.Helper()
			if err := m.Tell(t.Context(), configs, forget); err != nil {
				t.Fatal(err)
			}
			await(t, want, func() bool {
				got := strings.Join(strings.Fields(host.IP("rule", "show", "pref", "25002")), " ")
				for word := range strings.FieldsSeq(host.IP("-br", "-4", "address", "show", "dev", "multinic0")) {
					if strings.Contains(word, "/") {
						got = word + "|" + got
					}
				}

				return got == want
			})
		}
		tell("10.1.0.10/24|25002: from 10.1.0.10 lookup 1835925504 proto static", []plan.Config{config("10.1.0.10/24", "10.1.0.1")})
		tell("10.1.0.11/24|25002: from 10.1.0.11 lookup 1835925504 proto static", []plan.Config{config("10.1.0.11/24", "10.1.0.1")})
		if !m.IsTold(config("10.1.0.11/24", "10.1.0.1")) || m.IsTold(config("10.1.0.10/24", "10.1.0.1")) {
			t.Error("it does not say of what it was told")
		}
		if routes := host.IP("-4", "route", "show", "dev", "multinic0"); routes != "" || !m.Knows("multinic0") {
			t.Errorf("main has %s; told: %v", routes, m.Knows("multinic0"))
		}
		events := heard.Mark(t)
		// The same again: it hears of it, and has nothing to do.
		tell("10.1.0.11/24|25002: from 10.1.0.11 lookup 1835925504 proto static", []plan.Config{config("10.1.0.11/24", "10.1.0.1")})
		if again := heard.Mark(t); len(again) > 0 {
			t.Errorf("the same again made %v", again)
		}
		tell("", nil, "multinic0")
		events = append(events, heard.Mark(t)...)
		if foreign := slices.DeleteFunc(slices.Clone(events), ours); len(foreign) > 0 || len(events) == 0 {
			t.Errorf("%d events, of which foreign: %v", len(events), foreign)
		}
	})
	onBoth(t, "", func(t *testing.T, host *container.Container, m *Manager) {
		t.Helper()
		foreigners(host)
		heard := monitor.Start(t, host.Node)
		err := m.Tell(t.Context(), []plan.Config{config("10.1.0.10/24", "")}, nil)
		if !errors.Is(err, ErrUntold) || !strings.Contains(err.Error(), "set ManageForeignRoutes=no") || m.Knows("multinic0") {
			t.Errorf("networkd that takes others' routes away: %v", err)
		}
		if err := m.write(config("10.1.0.10/24", "")); err != nil {
			t.Fatal(err)
		}
		if err := m.reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		host.Configured("multinic0")
		if events := heard.Mark(t); len(slices.DeleteFunc(events, ours)) == 0 {
			t.Error("told all the same, it touches nothing foreign: so that it did not before proves nothing")
		}
	})
}

// TestNetworkdIsNotToldWhileItMayTouchOthers for each reason.
func TestNetworkdIsNotToldWhileItMayTouchOthers(t *testing.T) {
	onBoth(t, safe, func(t *testing.T, host *container.Container, m *Manager) {
		t.Helper()
		wanted := []plan.Config{config("10.1.0.10/24", "")}
		host.MustRun("sh", "-c", "cd /etc/systemd/network; mkdir 60-other.network.d; ln -s /dev/null 09-vendor.network; mkdir /opt/linked; ln -s /opt/linked 61-linked.network.d;"+
			"echo >/etc/systemd/networkd.conf.d/zz.conf; systemctl restart systemd-networkd")
		host.Configured("eth0")
		// Before it was ever told, the folders themselves tell.
		host.MustRun("mkdir", "/etc/systemd/network/62-gone.network.d")
		host.MustRun("rmdir", "/etc/systemd/network/62-gone.network.d")
		if err := m.Tell(t.Context(), wanted, nil); !errors.Is(err, ErrUntold) || !strings.Contains(err.Error(), "/etc/systemd/network was changed after") {
			t.Errorf("something is gone that was never seen: %v", err)
		}
		host.MustRun("systemctl", "restart", "systemd-networkd")
		host.Configured("eth0")
		if err := m.Tell(t.Context(), wanted, nil); err != nil {
			t.Fatalf("the control: %v", err)
		}
		for _, test := range []struct {
			what, want string
			begin, end []string
		}{
			{"generated files are new", "/run/systemd/network/10-netplan-eth0.network was changed after it was started", []string{"systemctl", "daemon-reload"}, nil},
			{"another file is new", "/etc/systemd/network/70-new.network was changed after", []string{"touch", "/etc/systemd/network/70-new.network"},
				[]string{"rm", "/etc/systemd/network/70-new.network"}},
			{"a drop-in is new", "/etc/systemd/network/10-netplan-eth0.network.d was changed after", []string{"mkdir", "-p", "/etc/systemd/network/10-netplan-eth0.network.d"},
				[]string{"rmdir", "/etc/systemd/network/10-netplan-eth0.network.d"}},
			{"a file is gone", "/run/systemd/network/10-netplan-eth0.network was changed after", []string{"rm", "/run/systemd/network/10-netplan-eth0.network"}, []string{"netplan", "generate"}},
			{"a folder of drop-ins is gone", "/etc/systemd/network/60-other.network.d was changed after", []string{"rm", "-r", "/etc/systemd/network/60-other.network.d"}, nil},
			{"a mask is gone", "/etc/systemd/network/09-vendor.network was changed after", []string{"rm", "/etc/systemd/network/09-vendor.network"}, nil},
			{"a file behind a link is new", "/etc/systemd/network/61-linked.network.d/", []string{"touch", "/opt/linked/new.conf"}, nil},
			{"a setting is gone", "/etc/systemd/networkd.conf.d/zz.conf was changed after", []string{"rm", "/etc/systemd/networkd.conf.d/zz.conf"}, nil},
			{"its settings are new", "/etc/systemd/networkd.conf.d/foreign.conf was changed after", []string{"touch", "/etc/systemd/networkd.conf.d/foreign.conf"}, nil},
			{"others' rules", "set ManageForeignRoutingPolicyRules=no", []string{"sh", "-c",
				"echo '[Network]\nManageForeignRoutingPolicyRules=yes' >/etc/systemd/networkd.conf.d/more.conf; systemctl restart systemd-networkd"}, []string{"rm", "/etc/systemd/networkd.conf.d/more.conf"}},
			{"it is stopped", "it does not run", []string{"systemctl", "stop", "systemd-networkd.socket", "systemd-networkd.service"}, nil},
			{"the bus is stopped", "reach the host's system bus", []string{"systemctl", "stop", "dbus.socket", "dbus.service"}, []string{"systemctl", "start", "dbus.socket", "dbus.service"}},
		} {
			host.MustRun(test.begin[0], test.begin[1:]...)
			var err error
			await(t, test.what, func() bool { // It may be starting, which is another reason.
				err = m.Tell(t.Context(), wanted, nil)

				return err == nil || strings.Contains(err.Error(), test.want)
			})
			if !errors.Is(err, ErrUntold) || m.Knows("multinic0") {
				t.Errorf("%s: %v", test.what, err)
			}
			if test.end != nil {
				host.MustRun(test.end[0], test.end[1:]...)
			}
			host.MustRun("systemctl", "reset-failed", "systemd-networkd")
			host.MustRun("systemctl", "restart", "systemd-networkd")
			host.Configured("eth0")
			if err := m.Tell(t.Context(), wanted, nil); err != nil {
				t.Errorf("after %s: %v", test.what, err)
			}
		}
	})
}
