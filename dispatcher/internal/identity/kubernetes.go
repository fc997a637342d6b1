package identity

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	authenticationv1 "k8s.io/api/authentication/v1"
)

// What an API server of Kubernetes 1.30 or newer says of a token that is bound to a pod.
const (
	nodeClaim   = "authentication.kubernetes.io/node-name"
	podClaim    = "authentication.kubernetes.io/pod-name"
	podUIDClaim = "authentication.kubernetes.io/pod-uid"
)

// maxToken is the longest token that is looked at, in bytes. Those of Kubernetes have some 1,200.
const maxToken = 8 << 10

// Kubernetes is the identity "kubernetes": callers present a token, and the API server says whose it is.
type Kubernetes struct {
	pair     *files[*tls.Certificate]
	reviews  *reviews
	executor string
}

var _ Identity = &Kubernetes{}

// KubernetesSettings are what the identity "kubernetes" needs.
type KubernetesSettings struct {
	// Certificate and Key are the paths of the dispatcher's own, in PEM. They are read anew when they have changed.
	Certificate, Key string
	// Audience is what tokens must be meant for.
	Audience string
	// Executors is the executors' service account, NAMESPACE/NAME.
	Executors string
}

// NewKubernetes returns the identity "kubernetes". Errors name the setting.
func NewKubernetes(settings KubernetesSettings, api Reviewer, log *zap.Logger) (*Kubernetes, error) {
	pair, err := openPair(log, settings.Certificate, settings.Key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert and --tls-key: %w", err)
	}
	executor, err := userOf(settings.Executors)
	if err != nil {
		return nil, fmt.Errorf("--executor-service-account: %w", err)
	}

	return &Kubernetes{pair: pair, reviews: newReviews(api, settings.Audience), executor: executor}, nil
}

// CheckServiceAccount says what is wrong with a service account as a setting has it, NAMESPACE/NAME.
func CheckServiceAccount(account string) error {
	_, err := userOf(account)

	return err
}

// userOf is the name by which Kubernetes knows a service account, NAMESPACE/NAME, as a user.
func userOf(account string) (string, error) {
	namespace, name, ok := strings.Cut(account, "/")
	if !ok || namespace == "" || name == "" || strings.ContainsAny(account, ": \t\n") || strings.Contains(name, "/") {
		return "", fmt.Errorf("%q is no service account: write NAMESPACE/NAME", account)
	}

	return "system:serviceaccount:" + namespace + ":" + name, nil
}

// Credentials protect connections; who calls is said by each call's token.
func (k *Kubernetes) Credentials() credentials.TransportCredentials {
	return serverTLS(func() *tls.Config {
		return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*k.pair.get()}}
	})
}

// Authorize asks the API server whose the call's token is, and, of an operator, whether Kubernetes' RBAC lets it call the method.
func (k *Kubernetes) Authorize(ctx context.Context, method string) (Caller, error) {
	token, err := bearer(ctx)
	if err != nil {
		return Caller{}, err
	}
	known, err := k.reviews.token(ctx, token)
	if err != nil {
		return Caller{}, err
	}
	name := known.user.Username
	caller := Caller{Name: name, Until: known.reviewed.Add(known.life)}
	switch of := methodOf(method); {
	case !time.Now().Before(caller.Until):
		return Caller{}, &RefusedError{Code: codes.Unauthenticated, Caller: name, Why: "the token has lived out its time"}
	case of == anybodys:
		return caller, nil
	case of == nobodys:
		return Caller{}, Denied(name, "there is no method %s", method)
	case of == executors && name != k.executor:
		return Caller{}, Denied(name, "only %s may call %s", k.executor, method)
	case of == executors:
		if caller.Node, err = nodeOf(known.user); err != nil {
			return Caller{}, err
		}
		// Each node counts by itself, though all executors are one user.
		caller.Name += " on " + caller.Node

		return caller, nil
	case name == k.executor:
		return Caller{}, Denied(name, "executors may not call %s", method)
	}
	allowed, err := k.reviews.access(ctx, token, known.user, method)
	if err != nil {
		return Caller{}, err
	}
	if !allowed {
		return Caller{}, Denied(name, "RBAC of Kubernetes does not let this user get the non-resource URL %s", method)
	}

	return caller, nil
}

// bearer is the call's token.
func bearer(ctx context.Context) (string, error) {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) != 1 {
		return "", unauthenticated("the call has %d tokens; it must have one", len(values))
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	switch {
	case !strings.EqualFold(scheme, "Bearer") || token == "":
		return "", unauthenticated("what the call has for authorization is no bearer token")
	case len(token) > maxToken:
		return "", unauthenticated("the token has %d bytes; it may have %d", len(token), maxToken)
	}

	return token, nil
}

// nodeOf is the node on which the pod runs to which a token is bound.
func nodeOf(user authenticationv1.UserInfo) (string, error) {
	for _, claim := range []string{nodeClaim, podClaim, podUIDClaim} {
		if values := user.Extra[claim]; len(values) != 1 || values[0] == "" {
			return "", Denied(user.Username, "the token must say exactly one %s, and says %d: it must be bound to a pod, and the API server of 1.30 or newer",
				claim, len(slices.DeleteFunc(slices.Clone(values), func(one string) bool { return one == "" })))
		}
	}

	return user.Extra[nodeClaim][0], nil
}
