package host_test

import (
	"slices"
	"strings"
	"testing"

	"multinic.dev/testbed/oracle"
)

// TestNetworkdListensForNobodyOnTheCards neither as it was told to set them up, nor after a boot: with a raw socket for LLDP on each, ten NICs
// that are changed at once take twice as long as one. That it listens on the host's own card shows that such a socket is seen.
func TestNetworkdListensForNobodyOnTheCards(t *testing.T) {
	for _, release := range both() {
		t.Run(string(release), func(t *testing.T) {
			s := newStageBy(t, release, true)
			listens := func(when string) {
				t.Helper()
				if links := s.listenedOn(); !slices.Equal(links, []string{"eth0"}) {
					t.Errorf("%s networkd listens on %q", when, links)
				}
			}
			s.fleet.Insert(rows()...)
			s.node.StartExecutor()
			s.fleet.AwaitAll()
			s.wantActivated("first apply")
			listens("as it was told")

			if err := s.node.Executor.Kill(); err != nil {
				t.Fatal(err)
			}
			s.host.Kill()
			s.boot()
			s.host.Configured("multinic0", "multinic1")
			s.right(oracle.Expect{ByManager: true}, rows()...)
			listens("after a boot")
		})
	}
}

// listenedOn are the host's links on which somebody has a raw socket for LLDP, in order.
func (s *stage) listenedOn() []string {
	s.Helper()
	const lldp, protocol, link = "88cc", 3, 4
	names := map[string]string{}
	for line := range strings.Lines(s.host.MustRun("ip", "-o", "link")) {
		index, rest, _ := strings.Cut(line, ": ")
		name, _, _ := strings.Cut(rest, ":")
		names[index], _, _ = strings.Cut(name, "@")
	}
	var links []string
	for line := range strings.Lines(s.host.MustRun("cat", "/proc/net/packet")) {
		if fields := strings.Fields(line); len(fields) > link && fields[protocol] == lldp {
			links = append(links, names[fields[link]])
		}
	}
	slices.Sort(links)

	return links
}
