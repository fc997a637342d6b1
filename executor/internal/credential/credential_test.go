package credential_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"multinic.dev/executor/internal/credential"
	"multinic.dev/executor/internal/session"
	multinicv1 "multinic.dev/proto/multinic/v1"
	"multinic.dev/testbed/authority"
)

// dispatcher says by whom it was called: the certificate's name and the token.
type dispatcher struct {
	multinicv1.UnimplementedDispatchServiceServer

	t       *testing.T
	address string
	callers *authority.CA
}

func (*dispatcher) Session(stream multinicv1.DispatchService_SessionServer) error {
	name := "nobody"
	if caller, ok := peer.FromContext(stream.Context()); ok {
		if info, ok := caller.AuthInfo.(credentials.TLSInfo); ok && len(info.State.PeerCertificates) > 0 {
			name = info.State.PeerCertificates[0].Subject.CommonName
		}
	}

	return status.Error(codes.Aborted, name+" "+strings.Join(metadata.ValueFromIncomingContext(stream.Context(), "authorization"), ","))
}

// serve starts a dispatcher; nil: in plain text.
func serve(t *testing.T, servers *authority.CA, oldest, newest uint16) *dispatcher {
	t.Helper()
	d := &dispatcher{t: t, callers: authority.New(t, "callers")}
	protection := insecure.NewCredentials()
	if servers != nil {
		own := servers.Issue(authority.Leaf{CommonName: "dispatcher", Hosts: []string{"127.0.0.1"}})
		pair, err := tls.X509KeyPair(own.Certificate, own.Key)
		must(t, err)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(d.callers.PEM)
		protection = credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{pair}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool, MinVersion: oldest, MaxVersion: newest,
		})
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	server := grpc.NewServer(grpc.Creds(protection))
	multinicv1.RegisterDispatchServiceServer(server, d)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() { server.Stop(); serving.Wait() })
	d.address = listener.Addr().String()

	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// meets is what a dispatcher says of who calls it, by a connection that is made now.
func (d *dispatcher) meets(c *credential.Credential) string {
	d.t.Helper()
	options, _ := c.Options()
	connection, err := session.Dial(d.address, options...)
	must(d.t, err)
	defer func() { _ = connection.Close() }()

	return d.hears(connection)
}

// hears is what a dispatcher says of who calls it, by a connection.
func (d *dispatcher) hears(connection *grpc.ClientConn) string {
	d.t.Helper()
	stream, err := multinicv1.NewDispatchServiceClient(connection).Session(context.Background())
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Aborted {
		return status.Code(err).String()
	}

	return status.Convert(err).Message()
}

func TestACertificateIsShownAsItIsNow(t *testing.T) {
	servers := authority.New(t, "servers")
	d := serve(t, servers, tls.VersionTLS13, 0)
	files := authority.NewVolume(t, t.TempDir())
	put := func(ca []byte, pair authority.Pair) {
		files.Put(map[string][]byte{"ca": ca, "cert": pair.Certificate, "key": pair.Key})
	}
	first, second := d.callers.Issue(authority.Leaf{CommonName: "first"}), d.callers.Issue(authority.Leaf{CommonName: "second"})
	put(servers.PEM, first)
	c, err := credential.Certificate(files.Path("ca"), files.Path("cert"), files.Path("key"), zap.NewNop())
	must(t, err)
	if got := d.meets(c); got != "first " {
		t.Errorf("it meets %q", got)
	}
	put(servers.PEM, authority.Pair{Certificate: second.Certificate, Key: first.Key})
	if got := d.meets(c); got != "first " {
		t.Errorf("with half of a new pair it meets %q", got)
	}
	put(servers.PEM, second)
	if got := d.meets(c); got != "second " {
		t.Errorf("with a new pair it meets %q", got)
	}
	put(authority.New(t, "servers").PEM, second)
	if got := d.meets(c); got != "Unavailable" {
		t.Errorf("with another CA it meets %q", got)
	}
	put(servers.PEM, second)
	if got := d.meets(c); got != "second " {
		t.Errorf("with the old CA again it meets %q", got)
	}
}

func TestHalfOfABundleOfCAsIsNotTaken(t *testing.T) {
	before, after := authority.New(t, "before"), authority.New(t, "after")
	d := serve(t, after, tls.VersionTLS13, 0)
	both := slices.Concat(before.PEM, after.PEM)
	files := authority.NewVolume(t, t.TempDir())
	put := func(ca []byte) { files.Put(map[string][]byte{"ca": ca, "token": []byte("one")}) }
	put(both)
	core, logs := observer.New(zap.ErrorLevel)
	c, err := credential.Token(files.Path("ca"), files.Path("token"), zap.New(core))
	must(t, err)
	for n := 1; n < len(after.PEM)-1; n += 10 {
		for _, cut := range [][]byte{slices.Concat(before.PEM, after.PEM[:n]), slices.Concat(after.PEM[:n], before.PEM)} {
			put(cut)
			if got := d.meets(c); got != "nobody Bearer one" {
				t.Fatalf("with %d bytes of the dispatcher's CA it meets %q", n, got)
			}
		}
	}
	if logs.Len() != 1 {
		t.Errorf("it was said %d times that the file is not whole", logs.Len())
	}
	put(before.PEM)
	if got := d.meets(c); got != "Unavailable" {
		t.Errorf("without the dispatcher's CA it meets %q", got)
	}
}

func TestAPairThatIsOfNoUseDoesNotReplaceOneThatIs(t *testing.T) {
	servers := authority.New(t, "servers")
	d := serve(t, servers, tls.VersionTLS13, 0)
	files := authority.NewVolume(t, t.TempDir())
	put := func(leaf authority.Leaf) {
		pair := d.callers.Issue(leaf)
		files.Put(map[string][]byte{"ca": servers.PEM, "cert": pair.Certificate, "key": pair.Key})
	}
	over := time.Now().Add(-time.Minute)
	put(authority.Leaf{CommonName: "over", NotAfter: over})
	core, logs := observer.New(zap.ErrorLevel)
	c, err := credential.Certificate(files.Path("ca"), files.Path("cert"), files.Path("key"), zap.New(core))
	must(t, err)
	if logs.FilterMessageSnippet("files are of no use now").Len() != 1 {
		t.Errorf("at the start the log has %v", logs.All())
	}
	put(authority.Leaf{CommonName: "first"})
	for n, leaf := range []authority.Leaf{{CommonName: "first"}, {NotAfter: over}, {NotBefore: time.Now().Add(time.Hour)}, {Hosts: []string{"a server's"}}} {
		put(leaf)
		for range 2 {
			if got := d.meets(c); got != "first " {
				t.Errorf("with pair %d it meets %q", n, got)
			}
		}
	}
	if said := logs.FilterMessageSnippet("what they said before stands").Len(); said != 3 {
		t.Errorf("it was said %d times that a pair is of no use", said)
	}
}

func TestATokenIsReadForEachStream(t *testing.T) {
	servers := authority.New(t, "servers")
	d := serve(t, servers, tls.VersionTLS13, 0)
	files := authority.NewVolume(t, t.TempDir())
	files.Put(map[string][]byte{"ca": servers.PEM, "token": []byte("one\n")})
	c, err := credential.Token(files.Path("ca"), files.Path("token"), zap.NewNop())
	must(t, err)
	options, lasts := c.Options()
	connection, err := session.Dial(d.address, options...)
	must(t, err)
	defer func() { _ = connection.Close() }()
	for _, one := range []struct{ token, want string }{{"one\n", "nobody Bearer one"}, {"two", "nobody Bearer two"}, {"", "Unauthenticated"}, {"three", "nobody Bearer three"}} {
		files.Put(map[string][]byte{"ca": servers.PEM, "token": []byte(one.token)})
		if got := d.hears(connection); got != one.want || !lasts() {
			t.Errorf("with %q it hears %q", one.token, got)
		}
	}
}

// TestAConnectionLastsAsLongAsItsCAs with a token, which goes with each stream; and with a certificate, which does not, it never lasts. A file that
// cannot be used changes nothing, and one that is written anew with the same content neither.
func TestAConnectionLastsAsLongAsItsCAs(t *testing.T) {
	servers, other := authority.New(t, "servers"), authority.New(t, "other")
	both := slices.Concat(servers.PEM, other.PEM)
	own := other.Issue(authority.Leaf{CommonName: "node"})
	files := authority.NewVolume(t, t.TempDir())
	put := func(cas []byte) {
		files.Put(map[string][]byte{"ca": cas, "token": []byte("one"), "cert": own.Certificate, "key": own.Key})
	}
	put(both)
	token, err := credential.Token(files.Path("ca"), files.Path("token"), zap.NewNop())
	must(t, err)
	certificate, err := credential.Certificate(files.Path("ca"), files.Path("cert"), files.Path("key"), zap.NewNop())
	must(t, err)
	_, first := token.Options()
	_, never := certificate.Options()
	_, plain := credential.Insecure().Options()
	for _, one := range []struct {
		name string
		cas  []byte
		want bool
	}{{"as they were", both, true}, {"cut", both[:len(both)-10], true}, {"one taken out", servers.PEM, false}} {
		put(one.cas)
		if got := first(); got != one.want {
			t.Errorf("CAs %s: it lasts: %t", one.name, got)
		}
		if never() || plain() {
			t.Errorf("CAs %s: a connection lasts by which nothing goes with each stream", one.name)
		}
	}
	if _, second := token.Options(); !second() {
		t.Error("a connection that is made with the new CAs does not last")
	}
}

func TestNothingGoesToWhoIsNotTheDispatcher(t *testing.T) {
	dir, servers := t.TempDir(), authority.New(t, "servers")
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, content, 0o600))

		return path
	}
	c, err := credential.Token(write("ca", servers.PEM), write("token", []byte("secret")), zap.NewNop())
	must(t, err)
	for what, d := range map[string]*dispatcher{
		"plain text": serve(t, nil, 0, 0), "another CA": serve(t, authority.New(t, "servers"), tls.VersionTLS13, 0), "TLS 1.2": serve(t, servers, tls.VersionTLS12, tls.VersionTLS12),
	} {
		if got := d.meets(c); got != "Unavailable" {
			t.Errorf("%s: it meets %q", what, got)
		}
	}
	if got := serve(t, servers, tls.VersionTLS13, 0).meets(c); got != "nobody Bearer secret" {
		t.Errorf("the dispatcher meets %q", got)
	}
	if got := serve(t, nil, 0, 0).meets(credential.Insecure()); got != "nobody " {
		t.Errorf("in plain text it meets %q", got)
	}
}

func TestWrongFilesAreNamedAtTheStart(t *testing.T) {
	dir, ca := t.TempDir(), authority.New(t, "ca")
	pair := ca.Issue(authority.Leaf{CommonName: "node"})
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, content, 0o600))

		return path
	}
	right, cert, key := write("ca", ca.PEM), write("cert", pair.Certificate), write("key", pair.Key)
	empty, two := write("empty", nil), write("two", []byte("one two"))
	for want, load := range map[string]func() (*credential.Credential, error){
		"--tls-ca (TLS_CA): open /nonexistent": func() (*credential.Credential, error) {
			return credential.Certificate("/nonexistent", cert, key, zap.NewNop())
		},
		"it has no certificate in PEM": func() (*credential.Credential, error) { return credential.Token(key, right, zap.NewNop()) },
		"--tls-cert (TLS_CERT) and --tls-key (TLS_KEY): ": func() (*credential.Credential, error) {
			return credential.Certificate(right, cert, right, zap.NewNop())
		},
		"--token-file (TOKEN_FILE): open /nonexistent": func() (*credential.Credential, error) {
			return credential.Token(right, "/nonexistent", zap.NewNop())
		},
		empty + ": it must have one token and nothing else": func() (*credential.Credential, error) { return credential.Token(right, empty, zap.NewNop()) },
		two + ": it must have one token and nothing else":   func() (*credential.Credential, error) { return credential.Token(right, two, zap.NewNop()) },
	} {
		if _, err := load(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "one two") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := credential.Certificate(right, cert, key, zap.NewNop()); err != nil {
		t.Errorf("right files: %v", err)
	}
}
