package identity_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	authenticationv1 "k8s.io/api/authentication/v1"

	"multinic.dev/dispatcher/internal/identity"
	"multinic.dev/testbed/authority"
)

// kube is a dispatcher with the identity "kubernetes", and its API server.
type kube struct {
	*dispatcher

	api *apiServer
}

const (
	ours     = "multinic-dispatcher"
	executor = "system:executor"
	operator = "default:operator"
)

// serveKubernetes has a pod of the executors on node-a.
func serveKubernetes(t *testing.T) *kube {
	t.Helper()
	servers := authority.New(t, "servers")
	own := servers.Issue(authority.Leaf{CommonName: "dispatcher", Hosts: []string{"127.0.0.1"}})
	k := &kube{api: startAPIServer(t)}
	k.api.addPod("system/pod-a", "node-a")
	k.dispatcher = serve(t, servers, func(log *zap.Logger) (identity.Identity, error) {
		api, err := identity.NewAPI(k.api.config())
		must(t, err)

		return identity.NewKubernetes(identity.KubernetesSettings{
			Certificate: write(t, own.Certificate), Key: write(t, own.Key), Audience: ours, Executors: "system/executor",
		}, api, log)
	})

	return k
}

// token goes with each call, as it is now.
type token struct{ now func() string }

func (c token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": c.now()}, nil
}

func (token) RequireTransportSecurity() bool { return false }

// with connects with a token.
func (k *kube) with(bearer string) *grpc.ClientConn {
	k.t.Helper()

	return k.saying("Bearer " + bearer)
}

// saying connects with a word for authorization.
func (k *kube) saying(authorization string) *grpc.ClientConn {
	k.t.Helper()

	return k.dial(credentials.NewTLS(k.trusting()), grpc.WithPerRPCCredentials(token{now: func() string { return authorization }}))
}

func TestATokenSaysWhatItsHolderMayCall(t *testing.T) {
	k := serveKubernetes(t)
	k.api.do(func() {
		k.api.roles["lister"] = []string{"/multinic.v1.FleetService/ListNodes", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"}
		k.api.bound["system:serviceaccount:"+operator] = []string{"lister"}
		// Whatever RBAC says of it, an executor is none of the operators.
		k.api.bound["system:serviceaccount:"+executor] = []string{"lister"}
	})
	node, person := k.with(k.api.sign(executor, "system/pod-a", time.Hour, ours)), k.with(k.api.sign(operator, "", time.Hour, ours))
	nobody := k.with(k.api.sign("default:other", "", time.Hour, ours))
	allowed(t, "an executor's session", openSession(t, node, "node-a"))
	allowed(t, "an operator's question", listNodes(t, person))
	allowed(t, "an operator's reflection", reflects(t, person))
	for _, connection := range []*grpc.ClientConn{node, person, nobody} {
		allowed(t, "health", check(t, connection))
	}
	if reasons := k.why(); len(reasons) != 0 {
		t.Errorf("refused: %q", reasons)
	}

	refused(t, "node-a's token with a Hello of node-b", openSession(t, node, "node-b"), codes.PermissionDenied)
	refused(t, "an executor's question", listNodes(t, node), codes.PermissionDenied)
	refused(t, "an executor's reflection", reflects(t, node), codes.PermissionDenied)
	refused(t, "an operator's session", openSession(t, person, "node-a"), codes.PermissionDenied)
	refused(t, "an operator without the right to this method", missing(t, person), codes.PermissionDenied)
	refused(t, "an operator without a role", listNodes(t, nobody), codes.PermissionDenied)
	refused(t, "an operator calls a service that is missing", stranger(t, person), codes.PermissionDenied)
	for _, want := range []string{
		`the Hello is of the node "node-b", and the caller is the executor of "node-a"`, "executors may not call /multinic.v1.FleetService/ListNodes",
		"only system:serviceaccount:system:executor may call /multinic.v1.DispatchService/Session",
		"RBAC of Kubernetes does not let this user get the non-resource URL /multinic.v1.FleetService/ListNodes",
	} {
		if reasons := k.why(); !slices.Contains(reasons, want) {
			t.Errorf("the log has %q, and not %q", reasons, want)
		}
	}
}

func TestATokenThatIsNotTheExecutorsOfAPodIsRefused(t *testing.T) {
	k := serveKubernetes(t)
	k.api.do(func() { k.api.addPod("default/pod-x", "node-a") })
	good := k.api.sign(executor, "system/pod-a", time.Hour, ours)
	for _, one := range []struct {
		what string
		says string
		code codes.Code
	}{
		{"no token", "", codes.Unauthenticated},
		{"another scheme", "Basic " + good, codes.Unauthenticated},
		{"no scheme", good, codes.Unauthenticated},
		{"an empty token", "Bearer ", codes.Unauthenticated},
		{"no JSON web token", "Bearer abc", codes.Unauthenticated},
		{"a token as long as nobody has one", "Bearer " + strings.Repeat("x", 9000), codes.Unauthenticated},
		{"another audience", "Bearer " + k.api.sign(executor, "system/pod-a", time.Hour, "https://kubernetes.default.svc"), codes.Unauthenticated},
		{"no audience", "Bearer " + k.api.sign(executor, "system/pod-a", time.Hour), codes.Unauthenticated},
		{"an expired token", "Bearer " + k.api.sign(executor, "system/pod-a", -time.Minute, ours), codes.Unauthenticated},
		{"a forged token", "Bearer " + good[:len(good)-4] + "AAAA", codes.Unauthenticated},
		{"a pod that is gone", "Bearer " + k.api.sign(executor, "system/gone", time.Hour, ours), codes.Unauthenticated},
		{"another service account", "Bearer " + k.api.sign("default:executor", "default/pod-x", time.Hour, ours), codes.PermissionDenied},
		{"another service account of the namespace", "Bearer " + k.api.sign("system:default", "system/pod-a", time.Hour, ours), codes.PermissionDenied},
		{"bound to no pod", "Bearer " + k.api.sign(executor, "", time.Hour, ours), codes.PermissionDenied},
	} {
		refused(t, one.what, openSession(t, k.saying(one.says), "node-a"), one.code)
	}
	refused(t, "no word for authorization", openSession(t, k.dial(credentials.NewTLS(k.trusting())), "node-a"), codes.Unauthenticated)
	allowed(t, "a right one", openSession(t, k.with(good), "node-a"))
	for _, one := range k.logs.All() {
		for key, value := range one.ContextMap() {
			if text, ok := value.(string); ok && strings.Contains(text, good[:len(good)-10]) {
				t.Errorf("the log has a token in %s: %s", key, text)
			}
		}
	}
}

func TestEachClaimOfATokenMustBeThereOnce(t *testing.T) {
	k := serveKubernetes(t)
	const prefix = "authentication.kubernetes.io/"
	for _, claim := range []string{"node-name", "pod-name", "pod-uid"} {
		for _, values := range [][]string{{}, {""}, {"node-a", "node-a"}, {"node-a", "node-b"}} {
			k.api.do(func() { k.api.extra = map[string]authenticationv1.ExtraValue{prefix + claim: values} })
			refused(t, claim+" is "+strings.Join(values, ","), openSession(t, k.with(k.api.sign(executor, "system/pod-a", time.Hour, ours)), "node-a"), codes.PermissionDenied)
		}
	}
	k.api.do(func() { k.api.extra = nil })
	allowed(t, "each once", openSession(t, k.with(k.api.sign(executor, "system/pod-a", time.Hour, ours)), "node-a"))
}

func TestATokenGoesOverTLS13Alone(t *testing.T) {
	k := serveKubernetes(t)
	right := token{now: func() string { return "Bearer " + k.api.sign(executor, "system/pod-a", time.Hour, ours) }}
	old, distrusting := k.trusting(), k.trusting()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	distrusting.RootCAs = nil
	for what, protection := range map[string]credentials.TransportCredentials{
		"plain text": insecure.NewCredentials(), "TLS 1.2": credentials.NewTLS(old), "no trust in the dispatcher": credentials.NewTLS(distrusting),
	} {
		cut(t, what, openSession(t, k.dial(protection, grpc.WithPerRPCCredentials(right)), "node-a"))
	}
	allowed(t, "TLS 1.3", openSession(t, k.dial(credentials.NewTLS(k.trusting()), grpc.WithPerRPCCredentials(right)), "node-a"))
}

func TestWhileTheAPIServerIsAwayKnownSessionsGoOnAndNobodyGetsIn(t *testing.T) {
	k := serveKubernetes(t)
	k.api.do(func() { k.api.addPod("system/pod-b", "node-b") })
	stream, err := startSession(t, k.with(k.api.sign(executor, "system/pod-a", time.Hour, ours)), "node-a")
	must(t, err)
	k.api.do(func() { k.api.away = true })

	fresh := k.with(k.api.sign(executor, "system/pod-b", time.Hour, ours))
	refused(t, "a right token", openSession(t, fresh, "node-b"), codes.Unavailable)
	refused(t, "a forged token", openSession(t, k.with(k.api.sign(executor, "system/pod-b", time.Hour, ours)+"x"), "node-b"), codes.Unavailable)
	if said := k.logs.FilterMessageSnippet("cannot be found out who calls").Len(); said != 2 {
		t.Errorf("it was logged %d times", said)
	}
	// The session that there is goes on: a second one on its node ends it in good order, once it gets in.
	k.api.do(func() { k.api.away = false })
	allowed(t, "the same token, when the API server is back", openSession(t, fresh, "node-b"))
	allowed(t, "a second session of the first node", openSession(t, k.with(k.api.sign(executor, "system/pod-a", time.Hour, ours)), "node-a"))
	if response, err := stream.Recv(); err != nil || response.GetDrain().GetReason().String() != "DRAIN_REASON_REPLACED" {
		t.Errorf("the first session received %v, error %v", response, err)
	}
}

func TestASessionLivesAsLongAsItsTokenFromTheReviewAndReopensOnItsConnection(t *testing.T) {
	k := serveKubernetes(t)
	now := k.api.sign(executor, "system/pod-a", 2*time.Second, ours)
	connection := k.dial(credentials.NewTLS(k.trusting()), grpc.WithPerRPCCredentials(token{now: func() string { return "Bearer " + now }}))
	stream, err := startSession(t, connection, "node-a")
	must(t, err)
	response, err := stream.Recv()
	if err != nil || response.GetDrain().GetReason().String() != "DRAIN_REASON_RENEW" {
		t.Errorf("got %v, error %v", response, err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("it ended with %v", err)
	}
	refused(t, "the same token", openSession(t, connection, "node-a"), codes.Unauthenticated)
	now = k.api.sign(executor, "system/pod-a", time.Hour, ours)
	allowed(t, "the next token, on the same connection", openSession(t, connection, "node-a"))
}

func TestTheAPIServerIsNotAskedAboutWhatIsNotForUs(t *testing.T) {
	k := serveKubernetes(t)
	_, signed, _ := strings.Cut(k.api.sign(executor, "system/pod-a", time.Hour, ours), ".")
	encode := base64.RawURLEncoding.EncodeToString
	claiming := func(claims string) string {
		return "Bearer " + encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(claims)) + ".x"
	}
	now := time.Now().Unix()
	for what, says := range map[string]string{
		"no JSON web token": "Bearer x", "another audience": "Bearer " + k.api.sign(executor, "system/pod-a", time.Hour, "another"),
		"a long one": "Bearer " + strings.Repeat("x", 9000), "not signed": "Bearer " + encode([]byte(`{"alg":"none"}`)) + "." + signed,
		"over for two days":      claiming(fmt.Sprintf(`{"aud":%q,"iat":%d,"exp":%d}`, ours, now-180_000, now-172_800)),
		"issued in two days":     claiming(fmt.Sprintf(`{"aud":%q,"iat":%d,"exp":%d}`, ours, now+172_800, now+180_000)),
		"to be used in two days": claiming(fmt.Sprintf(`{"aud":%q,"iat":%d,"nbf":%d,"exp":%d}`, ours, now, now+172_800, now+180_000)),
	} {
		refused(t, what, openSession(t, k.saying(says), "node-a"), codes.Unauthenticated)
	}
	k.api.do(func() {
		if k.api.tokenReviews != 0 {
			t.Errorf("it was asked %d times", k.api.tokenReviews)
		}
	})
	refused(t, "over for an hour", openSession(t, k.saying(claiming(fmt.Sprintf(`{"aud":%q,"iat":%d,"exp":%d}`, ours, now-7200, now-3600))), "node-a"), codes.Unauthenticated)
	k.api.do(func() {
		if k.api.tokenReviews != 1 {
			t.Errorf("about a token whose time may be over by a wrong clock alone it was asked %d times", k.api.tokenReviews)
		}
	})
}

func TestTheAPIServerIsAskedOnceForMany(t *testing.T) {
	k := serveKubernetes(t)
	k.api.do(func() {
		k.api.roles["lister"] = []string{"/multinic.v1.FleetService/ListNodes"}
		k.api.bound["system:serviceaccount:"+operator] = []string{"lister"}
	})
	person := k.with(k.api.sign(operator, "", time.Hour, ours))
	var calls sync.WaitGroup
	for range 10 {
		calls.Go(func() { allowed(t, "a question", listNodes(t, person)) })
	}
	calls.Wait()
	k.api.do(func() {
		if k.api.tokenReviews != 1 || k.api.accessReviews != 1 {
			t.Errorf("it was asked %d times for a token and %d times for a right", k.api.tokenReviews, k.api.accessReviews)
		}
	})
}
