package check

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/timestamppb"

	"multinic.dev/dispatcher/internal/fleet"
	"multinic.dev/dispatcher/internal/identity"
	"multinic.dev/dispatcher/internal/reconcile"
	"multinic.dev/dispatcher/internal/server"
	multinicv1 "multinic.dev/proto/multinic/v1"
	"multinic.dev/testbed/authority"
)

// tokens is an identity in which the token "viewer" may do all, and "stranger" nothing.
type tokens struct{ pair tls.Certificate }

func (i tokens) Credentials() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{i.pair}})
}

func (tokens) Authorize(ctx context.Context, method string) (identity.Caller, error) {
	switch strings.Join(metadata.ValueFromIncomingContext(ctx, "authorization"), ",") {
	case "Bearer viewer":
		return identity.Caller{Name: "viewer"}, nil
	case "Bearer stranger":
		return identity.Caller{}, identity.Denied("stranger", "it may not call %s", method)
	default:
		return identity.Caller{}, &identity.RefusedError{Code: codes.Unauthenticated}
	}
}

// played is a reconciler that answers with nodes, two a page, after it was asked so often in vain.
type played struct {
	fleet.Reconciler

	nodes  []*multinicv1.Node
	unread bool
	// coming is what the nodes are at the first look, if that is something else.
	coming [][]*multinicv1.Node
}

// Nodes needs no lock: a check asks one question at a time.
func (p *played) Nodes(_ *multinicv1.NodeFilter, after string, _ int) (reconcile.Page, error) {
	if p.unread {
		return reconcile.Page{Health: reconcile.Health{Problem: "no way to the database"}}, nil
	}
	nodes := p.nodes
	if len(p.coming) > 0 {
		nodes, p.coming = p.coming[0], p.coming[1:]
	}
	page := reconcile.Page{Health: reconcile.Health{Read: true}}
	for _, node := range nodes {
		if node.GetName() <= after {
			continue
		}
		if len(page.Nodes) == 2 {
			page.Next = page.Nodes[1].GetName()

			break
		}
		page.Nodes = append(page.Nodes, node)
	}

	return page, nil
}

// stage is a dispatcher over real TLS on loopback, and the settings of a check of it.
type stage struct {
	t        *testing.T
	settings Settings
	health   *health.Server
}

func newStage(t *testing.T, fleetOf *played) *stage {
	t.Helper()
	ca := authority.New(t, "servers")
	own := ca.Issue(authority.Leaf{CommonName: "dispatcher", Hosts: []string{"127.0.0.1"}})
	pair, err := tls.X509KeyPair(own.Certificate, own.Key)
	must(t, err)
	s := &stage{t: t, health: health.NewServer()}
	made, err := server.New(server.Services{
		Dispatch: multinicv1.UnimplementedDispatchServiceServer{}, Fleet: fleet.NewServer(fleetOf), Health: s.health,
	}, tokens{pair}, zap.NewNop(), prometheus.NewRegistry())
	must(t, err)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	var serving sync.WaitGroup
	serving.Go(func() { _ = made.Serve(listener) })
	t.Cleanup(func() { made.Stop(); serving.Wait() })
	s.settings = Settings{
		Dispatcher: listener.Addr().String(), TLSCA: s.file(ca.PEM), TokenFile: s.file([]byte("viewer\n")), MinSessions: 1, Timeout: time.Minute,
	}

	return s
}

func (s *stage) file(content []byte) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "file")
	must(s.t, os.WriteFile(path, content, 0o600))

	return path
}

// looks is what a check prints and says that looks so often.
func (s *stage) looks(times int) (string, error) {
	s.t.Helper()
	var out bytes.Buffer
	err := run(s.t.Context(), s.settings, &out, func(context.Context) bool { times--; return times > 0 })

	return out.String(), err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serving is a node in session, and absent one without.
func serving(name string, interfaces ...*multinicv1.NodeInterface) *multinicv1.Node {
	return &multinicv1.Node{
		Name: name, Session: &multinicv1.NodeSession{ConnectedAt: &timestamppb.Timestamp{Seconds: 1}}, Interfaces: interfaces,
		Rows: []*multinicv1.NodeRow{{Id: 1, NetplanSuccess: true, Verdict: multinicv1.RowVerdict_ROW_VERDICT_ACCEPTED}},
	}
}

func absent(name string, rows ...*multinicv1.NodeRow) *multinicv1.Node {
	return &multinicv1.Node{Name: name, Rows: rows}
}

func TestEachNodeHasALine(t *testing.T) {
	s := newStage(t, &played{nodes: []*multinicv1.Node{
		absent("(no node)", &multinicv1.NodeRow{Verdict: multinicv1.RowVerdict_ROW_VERDICT_REFUSED}),
		absent("forgotten"),
		serving("node-1",
			&multinicv1.NodeInterface{
				Key: &multinicv1.Key{MacAddress: "02:00:00:00:00:01"}, Result: &multinicv1.WorkResult{State: multinicv1.State_STATE_READY, InterfaceName: "multinic0"},
			},
			&multinicv1.NodeInterface{
				Key:    &multinicv1.Key{MacAddress: "02:00:00:00:00:02", VlanId: 7},
				Result: &multinicv1.WorkResult{State: multinicv1.State_STATE_FAILED, Reason: multinicv1.Reason_REASON_ADDRESS_IN_USE},
				Hold:   &multinicv1.Hold{Reason: multinicv1.HoldReason_HOLD_REASON_GUARD},
			},
			&multinicv1.NodeInterface{Key: &multinicv1.Key{MacAddress: "02:00:00:00:00:03"}}),
		{Name: "node-2\x1b[2J", Session: &multinicv1.NodeSession{ConnectedAt: &timestamppb.Timestamp{}}, Rows: []*multinicv1.NodeRow{
			{Verdict: multinicv1.RowVerdict_ROW_VERDICT_ACCEPTED}, {Verdict: multinicv1.RowVerdict_ROW_VERDICT_CONFLICT},
			{Verdict: multinicv1.RowVerdict_ROW_VERDICT_CONFLICT}, {Verdict: multinicv1.RowVerdict_ROW_VERDICT_AMBIGUOUS},
		}},
	}})
	got, err := s.looks(1)
	must(t, err)
	const want = `(no node): rows whose attached_node_name is no node's; 0 of 1 rows are 1, 1 REFUSED
forgotten: no session; 0 of 0 rows are 1
node-1: in session since 1970-01-01T00:00:01Z; multinic0 READY; 02:00:00:00:00:02 VLAN 7 FAILED (ADDRESS_IN_USE), held: GUARD; ` +
		`02:00:00:00:00:03 not reported yet; 1 of 1 rows are 1
"node-2\x1b[2J": in session since 1970-01-01T00:00:00Z; 0 of 4 rows are 1, 1 AMBIGUOUS, 2 CONFLICT
it works: of 3 nodes 2 are in session
`
	if got != want {
		t.Errorf("it prints\n%s\nand should print\n%s", got, want)
	}
}

func TestANodeWithRowsAndNoSessionIsNamed(t *testing.T) {
	s := newStage(t, &played{nodes: []*multinicv1.Node{serving("node-1"), absent("node-2", &multinicv1.NodeRow{}), absent("node-3", &multinicv1.NodeRow{})}})
	got, err := s.looks(1)
	if err == nil || !strings.HasPrefix(err.Error(), "2 of the nodes that have rows have no session: node-2, node-3; look at the log of the executor") {
		t.Errorf("it says %v", err)
	}
	if strings.Count(got, "\n") != 3 {
		t.Errorf("it prints\n%s", got)
	}
}

func TestEnoughNodesMustBeInSession(t *testing.T) {
	s := newStage(t, &played{nodes: []*multinicv1.Node{serving("node-1"), serving("node-2"), serving("node-3")}})
	s.settings.MinSessions = 3
	_, err := s.looks(1)
	must(t, err)
	s.settings.MinSessions = 4
	if _, err := s.looks(1); err == nil || !strings.HasPrefix(err.Error(), "3 nodes are in session, and 4 should be (--min-sessions)") {
		t.Errorf("it says %v", err)
	}
	s = newStage(t, &played{})
	if _, err := s.looks(1); err == nil || !strings.HasPrefix(err.Error(), "0 nodes are in session, and 1 should be") {
		t.Errorf("of nobody it says %v", err)
	}
}

func TestItWaitsForThoseWhoAreStillComing(t *testing.T) {
	nodes := &played{nodes: []*multinicv1.Node{serving("node-1")}, coming: [][]*multinicv1.Node{{absent("node-1", &multinicv1.NodeRow{})}}}
	s := newStage(t, nodes)
	got, err := s.looks(2)
	must(t, err)
	if !strings.Contains(got, "node-1: in session") {
		t.Errorf("it prints\n%s", got)
	}
	nodes.coming = [][]*multinicv1.Node{{absent("node-1", &multinicv1.NodeRow{})}}
	if _, err := s.looks(1); err == nil {
		t.Error("the first look finds nothing missing, so the second proves nothing")
	}
}

func TestAnOldPictureIsNotEnough(t *testing.T) {
	s := newStage(t, &played{nodes: []*multinicv1.Node{serving("node-1")}})
	s.health.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	got, err := s.looks(1)
	if err == nil || !strings.HasPrefix(err.Error(), "the dispatcher answers, and its picture is old") || !strings.Contains(got, "node-1: in session") {
		t.Errorf("it says %v, and prints\n%s", err, got)
	}
}

func TestWhatTheDispatcherDoesNotAnswerHasARemedy(t *testing.T) {
	working := func(*stage) {}
	for _, one := range []struct {
		name, want string
		fleet      *played
		change     func(*stage)
	}{
		{"the table was never read", "the table has not been read yet: no way to the database", &played{unread: true}, working},
		{"a token that is not believed", "does not believe the token", &played{}, func(s *stage) { s.settings.TokenFile = s.file([]byte("nobody")) }},
		{"a token without a role", "bind a role", &played{}, func(s *stage) { s.settings.TokenFile = s.file([]byte("stranger")) }},
		{"another CA", "certificate signed by unknown authority", &played{}, func(s *stage) { s.settings.TLSCA = s.file(authority.New(s.t, "other").PEM) }},
		{"nobody listens", "connection refused", &played{}, func(s *stage) {
			listener, err := (&net.ListenConfig{}).Listen(s.t.Context(), "tcp", "127.0.0.1:0")
			must(s.t, err)
			s.settings.Dispatcher = listener.Addr().String()
			must(s.t, listener.Close())
		}},
	} {
		t.Run(one.name, func(t *testing.T) {
			s := newStage(t, one.fleet)
			one.change(s)
			_, err := s.looks(1)
			if err == nil || !strings.Contains(err.Error(), one.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("it says %v", err)
			}
			if setting := (*SettingError)(nil); errors.As(err, &setting) {
				t.Errorf("it takes that for a bad setting: %v", err)
			}
		})
	}
}

func TestABadFileIsABadSetting(t *testing.T) {
	for _, one := range []struct {
		name, want string
		change     func(*stage)
	}{
		{"no CA", "--tls-ca (TLS_CA): open /nonexistent", func(s *stage) { s.settings.TLSCA = "/nonexistent" }},
		{"a CA that is none", "has no certificate in PEM", func(s *stage) { s.settings.TLSCA = s.file([]byte("x")) }},
		{"no token", "--token-file (TOKEN_FILE): open /nonexistent", func(s *stage) { s.settings.TokenFile = "/nonexistent" }},
		{"two tokens", "it must have one token and nothing else", func(s *stage) { s.settings.TokenFile = s.file([]byte("a b")) }},
	} {
		t.Run(one.name, func(t *testing.T) {
			s := newStage(t, &played{})
			one.change(s)
			_, err := s.looks(1)
			if setting := (*SettingError)(nil); !errors.As(err, &setting) || !strings.Contains(err.Error(), one.want) {
				t.Errorf("it says %v", err)
			}
		})
	}
}

// TestItGivesUpWhenItsTimeIsOver and says what was wrong before, not that time was over.
func TestItGivesUpWhenItsTimeIsOver(t *testing.T) {
	s := newStage(t, &played{nodes: []*multinicv1.Node{absent("node-1", &multinicv1.NodeRow{})}})
	ctx, cancel := context.WithCancel(t.Context())
	looked := 0
	err := run(ctx, s.settings, &bytes.Buffer{}, func(ctx context.Context) bool {
		cancel()
		looked++

		return looked < 3 && ctx.Err() != nil
	})
	if err == nil || !strings.Contains(err.Error(), "node-1") {
		t.Errorf("it says %v", err)
	}
}

// TestItsTimeIsOver when the timeout says so, however long it might go on.
func TestItsTimeIsOver(t *testing.T) {
	s := newStage(t, &played{nodes: []*multinicv1.Node{absent("node-1", &multinicv1.NodeRow{})}})
	s.settings.Timeout = time.Second
	err := run(t.Context(), s.settings, &bytes.Buffer{}, func(ctx context.Context) bool {
		select {
		case <-ctx.Done():
		case <-time.After(time.Minute):
			t.Error("it goes on for ever")
		}

		return false
	})
	if err == nil || !strings.Contains(err.Error(), "node-1") {
		t.Errorf("it says %v", err)
	}
}
