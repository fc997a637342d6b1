package fleet_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"multinic.dev/dispatcher/internal/fleet"
	"multinic.dev/dispatcher/internal/reconcile"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// reconciler knows the node "a", which has a session, and "b", which has none, and holds the set "t".
type reconciler struct{ health reconcile.Health }

func (r reconciler) Node(string) (*multinicv1.Node, reconcile.Health, error) {
	return nil, r.health, nil
}

func (r reconciler) Nodes(*multinicv1.NodeFilter, string, int) (reconcile.Page, error) {
	return reconcile.Page{Health: r.health}, nil
}

func (r reconciler) Retry(name string) (uint64, bool, reconcile.Health, error) {
	return map[string]uint64{"a": 7}[name], name == "a" || name == "b", r.health, nil
}

func (r reconciler) Guard() (*multinicv1.Guard, reconcile.Health, error) {
	return &multinicv1.Guard{Token: "t"}, r.health, nil
}

func (r reconciler) ReleaseGuard(token string) (int, bool, reconcile.Health, error) {
	return 3, token == "t", r.health, nil
}

func TestOperatorsAreToldWhatIsWrongWithACall(t *testing.T) {
	read := fleet.NewServer(reconciler{reconcile.Health{Read: true}})
	unread := fleet.NewServer(reconciler{reconcile.Health{Problem: "no way"}})
	retry := func(s *fleet.Server, name string) error {
		_, err := s.RetryNode(t.Context(), &multinicv1.RetryNodeRequest{Name: name})

		return err
	}
	release := func(s *fleet.Server, token string) error {
		_, err := s.ReleaseGuard(t.Context(), &multinicv1.ReleaseGuardRequest{Token: token})

		return err
	}
	guard := func(s *fleet.Server) error {
		_, err := s.GetGuard(t.Context(), &multinicv1.GetGuardRequest{})

		return err
	}
	for _, test := range []struct {
		name string
		err  error
		code codes.Code
		want string
	}{
		{"retry", retry(read, "a"), codes.OK, ""},
		{"retry of nobody", retry(read, ""), codes.InvalidArgument, "name is empty: say which node"},
		{"retry of a stranger", retry(read, "c"), codes.NotFound, `node "c" is unknown`},
		{"retry without a session", retry(read, "b"), codes.FailedPrecondition, `node "b" has no session now: look at its executor`},
		{"retry before the table was read", retry(unread, "a"), codes.Unavailable, "the table has not been read yet: no way"},
		{"guard", guard(read), codes.OK, ""},
		{"guard before the table was read", guard(unread), codes.Unavailable, "the table has not been read yet: no way"},
		{"release", release(read, "t"), codes.OK, ""},
		{"release of nothing", release(read, ""), codes.InvalidArgument, "token is empty: look at what is held with GetGuard"},
		{"release of another set", release(read, "u"), codes.FailedPrecondition, `the guard holds nothing of a set that "u" names`},
		{"release before the table was read", release(unread, "t"), codes.Unavailable, "the table has not been read yet: no way"},
	} {
		if status.Code(test.err) != test.code || !strings.HasPrefix(status.Convert(test.err).Message(), test.want) {
			t.Errorf("%s: %v", test.name, test.err)
		}
	}
}
