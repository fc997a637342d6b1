package loop_test

import (
	"slices"
	"strings"
	"testing"
)

// Either of these settings keeps eth0 from answering ARP for the addresses of the node's other cards. They are the
// node owner's, and multinic leaves them as they are.
const (
	strictARP   = "net/ipv4/conf/eth0/arp_ignore"
	strictPaths = "net/ipv4/conf/all/rp_filter"
)

// configured is a segment whose node has made the rows of its five cards true.
func configured(t *testing.T) *segment {
	t.Helper()
	f := newFleet(t)
	s := newSegment(t, f)
	if wrong := slices.Concat(s.unbound(), s.leaves(underlay())); len(wrong) != 0 {
		t.Fatalf("before anything was configured: %q", wrong)
	}
	f.Insert(s.rows()...)
	f.StartDispatcher()
	s.node.StartExecutor()
	f.AwaitAll()
	right(t, s.node, s.rows())
	return s
}

// differs fails the test where not exactly some sentences say what is wrong.
func differs(t *testing.T, when string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant:\n%s", when, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestFiveCardsInTheNodesOwnSubnetSpeakEachForItself(t *testing.T) {
	s := configured(t)
	s.node.Set(strictARP, "1")
	differs(t, "with strict ARP", s.all())
	s.node.Set(strictARP, "0")
	s.node.Set(strictPaths, "1")
	differs(t, "with strict reverse paths", s.all())
	s.node.Set(strictPaths, "0")
	// A kernel's defaults have eth0 answer for any address of its node, as it did before there were other cards.
	differs(t, "with a kernel's defaults", s.all(),
		"192.0.2.20 is answered by eth0",
		"192.0.2.21 is answered by eth0",
		"192.0.2.22 is answered by eth0",
		"192.0.2.23 is answered by eth0",
		"192.0.2.24 is answered by eth0")
}

// The rules that multinic1 has by its row, and the node's own.
const (
	ruleNear   = "pref 25000 from 192.0.2.21 lookup 1835929600 suppress_prefixlength 0 protocol 109"
	ruleMain   = "pref 25001 from 192.0.2.21 lookup main suppress_prefixlength 0 protocol 109"
	ruleOwn    = "pref 25002 from 192.0.2.21 lookup 1835929600 protocol 109"
	ruleBefore = "pref 32764 lookup main suppress_prefixlength 0 protocol 109"
)

func TestACardWithoutItsRulesSpeaksByAnother(t *testing.T) {
	s := configured(t)
	s.node.Set(strictARP, "1")
	// The executor would put back what is taken away.
	if err := s.node.Executor.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		rules []string
		want  []string
	}{
		{"its rules", []string{ruleNear, ruleMain, ruleOwn}, []string{
			"a packet of 192.0.2.21 to 192.0.2.2 leaves by eth0",
			"an answer of 192.0.2.21 to 192.0.2.2 leaves by eth0",
			"a packet of 192.0.2.21 to 203.0.113.9 leaves by eth0",
			"an answer of 192.0.2.21 to 203.0.113.9 leaves by eth0",
		}},
		{"the rule for its subnet", []string{ruleNear}, []string{
			"a packet of 192.0.2.21 to 192.0.2.2 leaves by eth0",
			"an answer of 192.0.2.21 to 192.0.2.2 leaves by eth0",
		}},
		{"the rule for what main knows", []string{ruleMain}, []string{
			"an answer of 192.0.2.21 to 10.244.0.5 leaves by multinic1",
		}},
		{"the rule for its gateway", []string{ruleOwn}, []string{
			"a packet of 192.0.2.21 to 203.0.113.9 leaves by eth0",
			"an answer of 192.0.2.21 to 203.0.113.9 leaves by eth0",
		}},
		{"the rule for what was there before", []string{ruleBefore}, []string{
			"a packet of the node's own to 192.0.2.2 leaves by multinic0 from 192.0.2.20",
			"a packet of 192.0.2.10 to 192.0.2.2 leaves by multinic0",
			"an answer of 192.0.2.10 to 192.0.2.2 leaves by multinic0",
		}},
	} {
		for _, rule := range test.rules {
			s.node.IP(append([]string{"rule", "delete"}, strings.Fields(rule)...)...)
		}
		differs(t, "without "+test.name, s.all(), test.want...)
		for _, rule := range test.rules {
			s.node.IP(append([]string{"rule", "add"}, strings.Fields(rule)...)...)
		}
	}
	right(t, s.node, s.rows())
	differs(t, "with all rules again", s.all())
}

func TestACardWithoutItsSettingsSpeaksForOthers(t *testing.T) {
	s := configured(t)
	s.node.Set(strictARP, "1")
	// The executor would put back what is taken away.
	if err := s.node.Executor.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		setting, value, strictPaths string

		want []string
	}{
		{"arp_ignore", "1", "0", []string{
			"192.0.2.10 is answered by multinic1",
			"192.0.2.20 is answered by multinic1",
			"192.0.2.22 is answered by multinic1",
			"192.0.2.23 is answered by multinic1",
			"192.0.2.24 is answered by multinic1",
		}},
		{"arp_announce", "2", "0", []string{"multinic1 asks for neighbours as 192.0.2.10"}},
		// Where the node is strict, this one makes an exception of ours.
		{"rp_filter", "2", "1", []string{"an answer of 192.0.2.21 to 198.51.100.9 is lost"}},
	} {
		s.node.Set(strictPaths, test.strictPaths)
		s.node.Set("net/ipv4/conf/multinic1/"+test.setting, "0")
		differs(t, "without "+test.setting, s.all(), test.want...)
		s.node.Set("net/ipv4/conf/multinic1/"+test.setting, test.value)
	}
	right(t, s.node, s.rows())
	differs(t, "with all settings again", s.all())
}
