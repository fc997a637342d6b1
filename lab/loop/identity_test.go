package loop_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"

	"multinic.dev/lab/fleet"
	"multinic.dev/lab/program"
	"multinic.dev/testbed/authority"
	"multinic.dev/testbed/monitor"
)

// trust is what a fleet's certificates are made by.
type trust struct {
	t                *testing.T
	fleet            *fleet.Fleet
	servers, callers *authority.CA
	dispatcher       *authority.Volume
	executors        map[string]*authority.Volume
}

// newTrust makes a fleet in which everybody has a certificate.
func newTrust(t *testing.T) *trust {
	t.Helper()
	c := &trust{t: t, servers: authority.New(t, "servers"), callers: authority.New(t, "callers"), executors: map[string]*authority.Volume{}}
	person := c.callers.Issue(authority.Leaf{CommonName: "alice", Organisations: []string{"multinic:operators"}})
	pair, err := tls.X509KeyPair(person.Certificate, person.Key)
	if err != nil {
		t.Fatal(err)
	}
	known := x509.NewCertPool()
	known.AppendCertsFromPEM(c.servers.PEM)
	c.fleet = fleet.New(t, fleet.Settings{Programs: programs, Operator: credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: known, Certificates: []tls.Certificate{pair},
	})})
	c.dispatcher = c.volume()
	c.rotateDispatcher()

	return c
}

func (c *trust) volume() *authority.Volume {
	c.t.Helper()
	dir, err := os.MkdirTemp("", "c-")
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = os.RemoveAll(dir) })

	return authority.NewVolume(c.t, dir)
}

// rotateDispatcher gives the dispatcher a new certificate.
func (c *trust) rotateDispatcher() {
	c.t.Helper()
	own := c.servers.Issue(authority.Leaf{CommonName: "dispatcher", Hosts: []string{"localhost"}})
	c.dispatcher.Put(map[string][]byte{"cert": own.Certificate, "key": own.Key, "client-ca": c.callers.PEM})
}

// rotate gives a node's executor a new certificate, which is of no use after some time.
func (c *trust) rotate(node string, life time.Duration) {
	c.t.Helper()
	if c.executors[node] == nil {
		c.executors[node] = c.volume()
	}
	own := c.callers.Issue(authority.Leaf{CommonName: node, Organisations: []string{"multinic:executors"}, NotAfter: time.Now().Add(life)})
	c.executors[node].Put(map[string][]byte{"ca": c.servers.PEM, "cert": own.Certificate, "key": own.Key})
}

func (c *trust) startDispatcher() {
	c.t.Helper()
	c.fleet.StartDispatcher("--identity=mtls", "--tls-cert="+c.dispatcher.Path("cert"), "--tls-key="+c.dispatcher.Path("key"), "--client-ca="+c.dispatcher.Path("client-ca"))
}

// startExecutor starts a node's executor with the certificate of a node, which should be the same.
func (c *trust) startExecutor(n *fleet.Node, of string) {
	c.t.Helper()
	files := c.executors[of]
	n.StartExecutor("--identity=mtls", "--tls-ca="+files.Path("ca"), "--tls-cert="+files.Path("cert"), "--tls-key="+files.Path("key"))
}

const (
	renewed = "session is renewed"
	ended   = "session ended"
)

// gaps are the times between the end of a node's session and the beginning of the next, as the dispatcher's log has them.
func gaps(t *testing.T, log, node string) []time.Duration {
	t.Helper()
	var found []time.Duration
	var closed time.Time
	for line := range strings.Lines(log) {
		var said struct {
			Message string    `json:"msg"`
			Node    string    `json:"node"`
			At      time.Time `json:"ts"`
		}
		if json.Unmarshal([]byte(line), &said) != nil || said.Node != node {
			continue
		}
		switch said.Message {
		case "session closed":
			closed = said.At
		case "session opened":
			if !closed.IsZero() {
				found = append(found, said.At.Sub(closed))
			}
		}
	}

	return found
}

func TestCertificatesRotateWhileRowsFlow(t *testing.T) {
	c := newTrust(t)
	f := c.fleet
	still, busy := addNode(f, 1, 2), addNode(f, 2, 2)
	nodes := []*fleet.Node{still, busy}
	rows := append(rowsOf(1, 2), rowsOf(2, 2)...)
	f.Insert(rows...)
	c.startDispatcher()
	// Sessions end with their certificates. The next is always there long before.
	const life, often = 8 * time.Second, time.Second
	last := time.Time{}
	rotate := func() {
		if time.Since(last) < often {
			return
		}
		last = time.Now()
		c.rotateDispatcher()
		for _, n := range nodes {
			c.rotate(n.Name(), life)
		}
	}
	rotate()
	for _, n := range nodes {
		c.startExecutor(n, n.Name())
	}
	f.AwaitAll()
	right(t, still, rows)
	right(t, busy, rows)
	m := monitor.Start(t, still.Node)
	m.Mark(t)

	renewals := func(n *fleet.Node) int { return strings.Count(n.Executor.Log(), renewed) }
	changes := 0
	f.Until(func() bool {
		rotate()
		if !strings.Contains(f.Flags(), "0") {
			changes++
			rows[3].Address = fmt.Sprintf("10.2.1.%d", 10+changes%200)
			f.Rewrite(rows[2:]...)
		}

		return renewals(still) >= 2 && renewals(busy) >= 2
	}, func() string { return fmt.Sprintf("renewed %d and %d times", renewals(still), renewals(busy)) })
	f.Until(func() bool { rotate(); return !strings.Contains(f.Flags(), "0") }, func() string { return "the flags are " + f.Flags() })
	silent(t, m, "rotating certificates")
	right(t, still, rows)
	right(t, busy, rows)
	for _, n := range nodes {
		if said := n.Executor.Log(); strings.Contains(said, ended) {
			t.Errorf("%s lost a session", n.Name())
		}
		waits := gaps(t, f.Dispatcher.Log(), n.Name())
		if len(waits) < 2 {
			t.Errorf("%s has %d gaps in its sessions", n.Name(), len(waits))
		}
		t.Logf("%s: %d renewals, the longest gap %v; %d changes of rows", n.Name(), len(waits), slices.Max(append(waits, 0)), changes)
	}
	if said := f.Dispatcher.Log(); strings.Contains(said, "replaces the first") {
		t.Error("a session was replaced, not renewed")
	}

	// The control: a node whose certificate is not replaced is out when that is over, and in again with a new one.
	nodes = nodes[:1]
	f.Until(func() bool { rotate(); return strings.Contains(busy.Executor.Log(), ended) }, func() string { return "no session ended with its certificate" })
	f.Until(func() bool { rotate(); return f.View(busy.Name()).GetSession() == nil }, func() string { return "it has a session without a certificate" })
	if f.View(still.Name()).GetSession() == nil || strings.Contains(still.Executor.Log(), ended) {
		t.Error("the other node has lost its session too")
	}
	c.rotate(busy.Name(), time.Hour)
	f.AwaitSession(busy.Name())
}

func TestANodeCannotSpeakForAnother(t *testing.T) {
	c := newTrust(t)
	f := c.fleet
	n, rows := addNode(f, 1, 1), rowsOf(1, 1)
	f.Insert(rows...)
	c.startDispatcher()
	c.rotate(nodeName(1), time.Hour)
	c.rotate(nodeName(2), time.Hour)
	c.startExecutor(n, nodeName(2))
	f.Until(func() bool {
		return strings.Contains(n.Executor.Log(), "does not let this executor speak for its node")
	},
		func() string { return "nobody refused it" })
	if want := `the Hello is of the node \"node-1\", and the caller is the executor of \"node-2\"`; !strings.Contains(f.Dispatcher.Log(), want) {
		t.Errorf("the dispatcher's log lacks %s", want)
	}
	if got := f.Flags(); got != "0" {
		t.Errorf("flags %s", got)
	}
	if err := n.Executor.Stop(); err != nil {
		t.Fatal(err)
	}
	// The control: with its own certificate it is let in.
	c.startExecutor(n, nodeName(1))
	f.AwaitAll()
	right(t, n, rows)
}

func TestWrongCertificatesAreOneLineAndExit2(t *testing.T) {
	c := newTrust(t)
	c.rotate(nodeName(1), time.Hour)
	own := c.executors[nodeName(1)]
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"dispatcher", []string{"--identity=mtls", "--tls-cert=/nonexistent", "--tls-key=" + c.dispatcher.Path("key"), "--client-ca=" + c.dispatcher.Path("client-ca")},
			"multinic-dispatcher: --tls-cert and --tls-key: open /nonexistent: no such file or directory\n"},
		{"dispatcher", []string{"--identity=kubernetes", "--tls-cert=" + c.dispatcher.Path("cert"), "--tls-key=" + c.dispatcher.Path("key"),
			"--executor-service-account=a/b", "--kubeconfig=/nonexistent"},
			`multinic-dispatcher: --kubeconfig (KUBECONFIG) is "/nonexistent": `},
		{"executor", []string{"--identity=mtls", "--tls-ca=" + own.Path("ca"), "--tls-cert=" + own.Path("cert"), "--tls-key=" + own.Path("ca")},
			"multinic-executor: --tls-cert (TLS_CERT) and --tls-key (TLS_KEY): "},
		{"executor", []string{"--identity=kubernetes", "--tls-ca=" + own.Path("ca"), "--token-file=/nonexistent"},
			"multinic-executor: --token-file (TOKEN_FILE): open /nonexistent: no such file or directory\n"},
	} {
		cmd := c.fleet.Command(test.args...)
		if test.name == "executor" {
			cmd.Args = append([]string{programs.Executor, "--dispatcher=dispatcher:8443", "--backend=netlink", "--http-listen=none", "--state-dir=" + t.TempDir()}, test.args...)
			cmd.Path = programs.Executor
		}
		process, err := program.Start(test.name, cmd)
		if err != nil {
			t.Fatal(err)
		}
		code, err := process.Wait(fleet.Patience)
		if said := process.Log(); err != nil || code != 2 || !strings.HasPrefix(said, test.want) || strings.Count(said, "\n") != 1 {
			t.Errorf("%v: exit %d, error %v, it said %q", test.args, code, err, said)
		}
	}
}
