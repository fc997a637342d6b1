package identity_test

import (
	"crypto/tls"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"multinic.dev/dispatcher/internal/identity"
	"multinic.dev/testbed/authority"
)

// trust is a dispatcher with the identity "mtls", and the CA of its callers.
type trust struct {
	*dispatcher

	callers *authority.CA
	// files are the dispatcher's: cert, key and ca.
	files *authority.Volume
	now   map[string][]byte
}

func serveMTLS(t *testing.T) *trust {
	t.Helper()
	servers, callers := authority.New(t, "servers"), authority.New(t, "callers")
	own := servers.Issue(authority.Leaf{CommonName: "dispatcher", Hosts: []string{"127.0.0.1"}})
	m := &trust{callers: callers, files: authority.NewVolume(t, t.TempDir())}
	m.put(map[string][]byte{"cert": own.Certificate, "key": own.Key, "ca": callers.PEM})
	m.dispatcher = serve(t, servers, func(log *zap.Logger) (identity.Identity, error) {
		return identity.NewMTLS(identity.MTLSFiles{Certificate: m.files.Path("cert"), Key: m.files.Path("key"), ClientCA: m.files.Path("ca")}, log)
	})

	return m
}

// put replaces some of the dispatcher's files.
func (m *trust) put(files map[string][]byte) {
	if m.now == nil {
		m.now = map[string][]byte{}
	}
	maps.Copy(m.now, files)
	m.files.Put(m.now)
}

// as connects with a certificate of the callers' CA.
func (m *trust) as(name string, organisations ...string) *grpc.ClientConn {
	m.t.Helper()

	return m.with(m.callers.Issue(authority.Leaf{CommonName: name, Organisations: organisations}))
}

// with connects with a certificate.
func (m *trust) with(pair authority.Pair) *grpc.ClientConn {
	m.t.Helper()

	return m.dial(credentials.NewTLS(m.trusting(pair)))
}

const (
	anExecutor = "multinic:executors"
	anOperator = "multinic:operators"
)

func TestACertificateSaysWhatItsHolderMayCall(t *testing.T) {
	m := serveMTLS(t)
	executor, operator := m.as("node-a", anExecutor), m.as("alice", anOperator)
	allowed(t, "an executor's session", openSession(t, executor, "node-a"))
	allowed(t, "an executor asks for health", check(t, executor))
	allowed(t, "an operator's question", listNodes(t, operator))
	allowed(t, "an operator's reflection", reflects(t, operator))
	allowed(t, "an operator asks for health", check(t, operator))
	if err := missing(t, operator); status.Code(err) != codes.Unimplemented {
		t.Errorf("an operator calls what is missing: %v", err)
	}
	if reasons := m.why(); len(reasons) != 0 {
		t.Errorf("refused: %q", reasons)
	}

	refused(t, "an executor's question", listNodes(t, executor), codes.PermissionDenied)
	refused(t, "an executor's reflection", reflects(t, executor), codes.PermissionDenied)
	refused(t, "an executor calls what is missing", missing(t, executor), codes.PermissionDenied)
	refused(t, "an operator's session", openSession(t, operator, "alice"), codes.PermissionDenied)
	refused(t, "an operator calls a service that is missing", stranger(t, operator), codes.PermissionDenied)
	refused(t, "another node's Hello", openSession(t, executor, "node-b"), codes.PermissionDenied)
	refused(t, "the node's Hello in other letters", openSession(t, executor, "Node-A"), codes.PermissionDenied)
	for _, want := range []string{
		"executors may not call /multinic.v1.FleetService/ListNodes", "operators may not call /multinic.v1.DispatchService/Session",
		`the Hello is of the node "node-b", and the caller is the executor of "node-a"`,
	} {
		if reasons := m.why(); !slices.Contains(reasons, want) {
			t.Errorf("the log has %q, and not %q", reasons, want)
		}
	}
}

func TestACertificateThatSaysSomethingElseIsRefused(t *testing.T) {
	m := serveMTLS(t)
	for _, one := range []struct {
		what          string
		name          string
		organisations []string
	}{
		{"no organisation", "node-a", nil},
		{"another organisation", "node-a", []string{"system:masters"}},
		{"both organisations", "node-a", []string{anExecutor, anOperator}},
		{"one more organisation", "node-a", []string{anExecutor, "other"}},
		{"the organisation in other letters", "node-a", []string{"Multinic:Executors"}},
		{"no name", "", []string{anExecutor}},
	} {
		connection := m.as(one.name, one.organisations...)
		refused(t, one.what+": a session", openSession(t, connection, "node-a"), codes.PermissionDenied)
		refused(t, one.what+": a question", listNodes(t, connection), codes.PermissionDenied)
		refused(t, one.what+": health", check(t, connection), codes.PermissionDenied)
	}
	allowed(t, "a right one", openSession(t, m.as("node-a", anExecutor), "node-a"))
}

func TestWithoutACertificateOfTheCAThereIsNoConnection(t *testing.T) {
	m := serveMTLS(t)
	right := m.callers.Issue(authority.Leaf{CommonName: "node-a", Organisations: []string{anExecutor}})
	old := m.trusting(right)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	distrusting := m.trusting(right)
	distrusting.RootCAs = nil
	for _, one := range []struct {
		what       string
		protection credentials.TransportCredentials
	}{
		{"plain text", insecure.NewCredentials()},
		{"no certificate", credentials.NewTLS(m.trusting())},
		{"another CA of the same name", credentials.NewTLS(m.trusting(authority.New(t, "callers").Issue(authority.Leaf{CommonName: "node-a", Organisations: []string{anExecutor}})))},
		{"the dispatcher's CA", credentials.NewTLS(m.trusting(m.servers.Issue(authority.Leaf{CommonName: "node-a", Organisations: []string{anExecutor}})))},
		{"a time that is over", credentials.NewTLS(m.trusting(m.callers.Issue(authority.Leaf{CommonName: "node-a", Organisations: []string{anExecutor}, NotAfter: time.Now().Add(-time.Minute)})))},
		{"a server's certificate", credentials.NewTLS(m.trusting(m.callers.Issue(authority.Leaf{CommonName: "node-a", Organisations: []string{anExecutor}, Hosts: []string{"a"}})))},
		{"TLS 1.2", credentials.NewTLS(old)},
		{"no trust in the dispatcher", credentials.NewTLS(distrusting)},
	} {
		cut(t, one.what, openSession(t, m.dial(one.protection), "node-a"))
	}
	old.MaxVersion = tls.VersionTLS13
	for _, config := range []*tls.Config{m.trusting(right), old} {
		allowed(t, "a right one", openSession(t, m.dial(credentials.NewTLS(config)), "node-a"))
	}
}

func TestFilesAreReadAnewWhenTheyHaveChanged(t *testing.T) {
	m := serveMTLS(t)
	before := m.as("node-a", anExecutor)
	allowed(t, "before", openSession(t, before, "node-a"))

	// A certificate without its key: what was there before stands, and is said once.
	servers := authority.New(t, "new servers")
	own := servers.Issue(authority.Leaf{CommonName: "dispatcher", Hosts: []string{"127.0.0.1"}})
	m.put(map[string][]byte{"cert": own.Certificate})
	for range 3 {
		allowed(t, "half of the files", openSession(t, m.as("node-a", anExecutor), "node-a"))
	}
	if said := m.logs.FilterMessageSnippet("what they said before stands").Len(); said != 1 {
		t.Errorf("it was said %d times that a file is wrong", said)
	}

	m.put(map[string][]byte{"key": own.Key})
	cut(t, "who knows the old CA alone", openSession(t, m.as("node-a", anExecutor), "node-a"))
	m.servers = servers
	allowed(t, "who knows the new CA", openSession(t, m.as("node-a", anExecutor), "node-a"))
	allowed(t, "on the old connection", openSession(t, before, "node-a"))

	// The callers' CA changes: for those that come, and for those that are there.
	old := m.as("node-a", anExecutor)
	allowed(t, "the old CA", openSession(t, old, "node-a"))
	m.callers = authority.New(t, "new callers")
	m.put(map[string][]byte{"ca": m.callers.PEM})
	refused(t, "a certificate of the old CA, on its connection", openSession(t, old, "node-a"), codes.Unauthenticated)
	allowed(t, "the new CA", openSession(t, m.as("node-a", anExecutor), "node-a"))

	m.put(map[string][]byte{"ca": nil})
	allowed(t, "no CA: what was there before", openSession(t, m.as("node-a", anExecutor), "node-a"))
}

func TestHalfOfABundleOfCAsIsNotTaken(t *testing.T) {
	m := serveMTLS(t)
	next := authority.New(t, "next callers")
	both := slices.Concat(m.callers.PEM, next.PEM)
	m.put(map[string][]byte{"ca": both})
	pair := next.Issue(authority.Leaf{CommonName: "node-b", Organisations: []string{anExecutor}})
	before := m.with(pair)
	allowed(t, "the second CA", openSession(t, before, "node-b"))
	m.put(map[string][]byte{"ca": both[:len(both)-40]})
	allowed(t, "half of it, on a connection that was there", openSession(t, before, "node-b"))
	allowed(t, "half of it, on a new connection", openSession(t, m.with(pair), "node-b"))
	if said := m.logs.FilterLevelExact(zap.ErrorLevel).FilterMessageSnippet("what they said before stands").Len(); said != 1 {
		t.Errorf("it was said %d times that the file is not whole", said)
	}
	m.put(map[string][]byte{"ca": m.callers.PEM})
	refused(t, "without the second CA, on a connection that was there", openSession(t, before, "node-b"), codes.Unauthenticated)
}

func TestAFileThatIsCutIsNotTaken(t *testing.T) {
	servers, first, second := authority.New(t, "servers"), authority.New(t, "first"), authority.New(t, "second")
	own := servers.Issue(authority.Leaf{CommonName: "dispatcher", Hosts: []string{"127.0.0.1"}})
	dir := t.TempDir()
	opens := func(certificate, ca []byte) error {
		paths := identity.MTLSFiles{Certificate: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key"), ClientCA: filepath.Join(dir, "ca")}
		for path, content := range map[string][]byte{paths.Certificate: certificate, paths.Key: own.Key, paths.ClientCA: ca} {
			must(t, os.WriteFile(path, content, 0o600))
		}
		_, err := identity.NewMTLS(paths, zap.NewNop())

		return err
	}
	chain, both := slices.Concat(own.Certificate, servers.PEM), slices.Concat(first.PEM, []byte("# the next one\n"), second.PEM, []byte("# the last one - for now\n"))
	allowed(t, "whole files", opens(chain, both))
	allowed(t, "a CA alone", opens(chain, first.PEM))
	for n := 1; n < len(second.PEM)-1; n++ {
		if opens(chain, slices.Concat(first.PEM, second.PEM[:n])) == nil {
			t.Errorf("%d bytes of the second CA are taken for none", n)
		}
	}
	for n := 1; n < len(first.PEM)-1; n++ {
		if opens(chain, slices.Concat(first.PEM[:n], second.PEM)) == nil {
			t.Errorf("%d bytes of the first CA are taken for none", n)
		}
	}
	for n := 1; n < len(servers.PEM)-1; n++ {
		if opens(chain[:len(own.Certificate)+n], both) == nil {
			t.Errorf("%d bytes of the CA of a certificate are taken for none", n)
		}
	}
}

func TestAPairThatIsOfNoUseDoesNotReplaceOneThatIs(t *testing.T) {
	m := serveMTLS(t)
	hosts := []string{"127.0.0.1"}
	over := authority.Leaf{CommonName: "dispatcher", Hosts: hosts, NotAfter: time.Now().Add(-time.Minute)}
	for n, leaf := range []authority.Leaf{over, {CommonName: "dispatcher", Hosts: hosts, NotBefore: time.Now().Add(time.Hour)}, {CommonName: "a client's"}} {
		pair := m.servers.Issue(leaf)
		m.put(map[string][]byte{"cert": pair.Certificate, "key": pair.Key})
		for range 2 {
			allowed(t, "the pair that was there", openSession(t, m.as("node-a", anExecutor), "node-a"))
		}
		if said := m.logs.FilterLevelExact(zap.ErrorLevel).FilterMessageSnippet("what they said before stands").Len(); said != n+1 {
			t.Errorf("pair %d: it was said %d times in all that one is of no use", n, said)
		}
	}

	// One that is of use later is taken then, and one of use again after that.
	soon := time.Now().Add(2 * time.Second).Truncate(time.Second)
	later := m.servers.Issue(authority.Leaf{CommonName: "later", Hosts: hosts, NotBefore: soon})
	m.put(map[string][]byte{"cert": later.Certificate, "key": later.Key})
	for m.shows() != "later" {
		if time.Since(soon) > patience {
			t.Fatal("a pair that has become valid is not taken")
		}
	}
	if time.Now().Before(soon) {
		t.Error("a pair is taken before it is valid")
	}
}

func TestAPairThatIsOfNoUseIsTakenWhereThereIsNoBetterAndSaidLoudly(t *testing.T) {
	servers, dir := authority.New(t, "servers"), t.TempDir()
	files := authority.NewVolume(t, dir)
	put := func(name string, end time.Time) {
		own := servers.Issue(authority.Leaf{CommonName: name, Hosts: []string{"127.0.0.1"}, NotAfter: end})
		files.Put(map[string][]byte{"cert": own.Certificate, "key": own.Key, "ca": servers.PEM})
	}
	over := time.Now().Add(-time.Minute)
	put("first", over)
	d := serve(t, servers, func(log *zap.Logger) (identity.Identity, error) {
		return identity.NewMTLS(identity.MTLSFiles{Certificate: files.Path("cert"), Key: files.Path("key"), ClientCA: files.Path("ca")}, log)
	})
	loud := d.logs.FilterLevelExact(zap.ErrorLevel)
	if loud.FilterMessageSnippet("files are of no use now").Len() != 1 || !strings.Contains(loud.All()[0].ContextMap()["error"].(string), "valid until") { //nolint:forcetypeassert // it panics, and the test shows it
		t.Errorf("at the start the log has %v", loud.All())
	}
	put("second", over)
	if got := d.shows(); got != "second" {
		t.Errorf("it shows the pair %q", got)
	}
	if said := d.logs.FilterLevelExact(zap.ErrorLevel).FilterMessageSnippet("no more than what they said before").Len(); said != 1 {
		t.Errorf("it was said %d times that neither is of use", said)
	}
	put("third", time.Time{})
	if got := d.shows(); got != "third" {
		t.Errorf("it shows the pair %q", got)
	}
}

// shows is the common name of the dispatcher's certificate, whether it is valid or not.
func (d *dispatcher) shows() string {
	d.t.Helper()
	name := ""
	// What is looked at is what it shows; it then asks for a certificate, and gets none.
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}, VerifyConnection: func(state tls.ConnectionState) error { //nolint:gosec // see above
		name = state.PeerCertificates[0].Subject.CommonName

		return nil
	}}}
	connection, err := dialer.DialContext(d.t.Context(), "tcp", d.address)
	if err == nil {
		_ = connection.Close()
	}

	return name
}

func TestASessionEndsInGoodOrderWithItsCertificate(t *testing.T) {
	m := serveMTLS(t)
	// Certificates have whole seconds.
	connection := m.with(m.callers.Issue(authority.Leaf{CommonName: "node-a", Organisations: []string{anExecutor}, NotAfter: time.Now().Add(3 * time.Second)}))
	stream, err := startSession(t, connection, "node-a")
	must(t, err)
	response, err := stream.Recv()
	if err != nil || response.GetDrain().GetReason().String() != "DRAIN_REASON_RENEW" {
		t.Errorf("got %v, error %v", response, err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "open a new one") {
		t.Errorf("it ended with %v", err)
	}
	refused(t, "a certificate whose time is over", openSession(t, connection, "node-a"), codes.Unauthenticated)
}

func TestWrongFilesAreNamedAtTheStart(t *testing.T) {
	ca := authority.New(t, "ca")
	pair := ca.Issue(authority.Leaf{CommonName: "dispatcher", Hosts: []string{"127.0.0.1"}})
	other := ca.Issue(authority.Leaf{CommonName: "dispatcher", Hosts: []string{"127.0.0.1"}})
	right := identity.MTLSFiles{Certificate: write(t, pair.Certificate), Key: write(t, pair.Key), ClientCA: write(t, ca.PEM)}
	if _, err := identity.NewMTLS(right, zap.NewNop()); err != nil {
		t.Errorf("right files: %v", err)
	}
	for _, one := range []struct {
		change func(*identity.MTLSFiles)
		want   string
	}{
		{func(f *identity.MTLSFiles) { f.Certificate = "/nonexistent" }, "--tls-cert and --tls-key: open /nonexistent: no such file or directory"},
		{func(f *identity.MTLSFiles) { f.Key = write(t, other.Key) }, "private key does not match public key"},
		{func(f *identity.MTLSFiles) { f.ClientCA = write(t, []byte("nothing")) }, "it has no certificate in PEM"},
		{func(f *identity.MTLSFiles) { f.ClientCA = "/nonexistent" }, "--client-ca: open /nonexistent"},
	} {
		files := right
		one.change(&files)
		if _, err := identity.NewMTLS(files, zap.NewNop()); err == nil || !strings.Contains(err.Error(), one.want) {
			t.Errorf("got %v, want %s", err, one.want)
		}
	}
}
