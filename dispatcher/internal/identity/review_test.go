package identity_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	authenticationv1 "k8s.io/api/authentication/v1"

	"multinic.dev/dispatcher/internal/identity"
	"multinic.dev/testbed/authority"
)

// oracle answers reviews as a test says, and counts them.
type oracle struct {
	token func(ctx context.Context) (authenticationv1.TokenReviewStatus, error)
	asked int
}

func (o *oracle) Token(ctx context.Context, _, _ string) (authenticationv1.TokenReviewStatus, error) {
	o.asked++

	return o.token(ctx)
}

func (o *oracle) Access(context.Context, authenticationv1.UserInfo, string) (bool, error) {
	return false, errors.New("nobody asks for this")
}

// believing runs a test in a bubble of its own time, with the identity "kubernetes" in front of an oracle.
func believing(t *testing.T, life time.Duration, test func(o *oracle, authorize func() (identity.Caller, error))) {
	t.Helper()
	own := authority.New(t, "servers").Issue(authority.Leaf{CommonName: "dispatcher", Hosts: []string{"127.0.0.1"}})
	settings := identity.KubernetesSettings{Certificate: write(t, own.Certificate), Key: write(t, own.Key), Audience: ours, Executors: "system/executor"}
	synctest.Test(t, func(t *testing.T) {
		bearer := (&apiServer{key: []byte("k")}).sign(executor, "system/pod-a", life, ours)
		o := &oracle{token: good}
		who, err := identity.NewKubernetes(settings, o, zap.NewNop())
		must(t, err)
		test(o, func() (identity.Caller, error) {
			ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+bearer))

			return who.Authorize(ctx, "/multinic.v1.DispatchService/Session")
		})
	})
}

func good(context.Context) (authenticationv1.TokenReviewStatus, error) {
	const prefix = "authentication.kubernetes.io/"

	return authenticationv1.TokenReviewStatus{Authenticated: true, Audiences: []string{ours}, User: authenticationv1.UserInfo{
		Username: "system:serviceaccount:system:executor",
		Extra: map[string]authenticationv1.ExtraValue{
			prefix + "node-name": {"node-a"}, prefix + "pod-name": {"pod-a"}, prefix + "pod-uid": {"u"},
		},
	}}, nil
}

func bad(ctx context.Context) (authenticationv1.TokenReviewStatus, error) {
	// What else it says does not matter then.
	answer, err := good(ctx)
	answer.Authenticated, answer.Error = false, "no"

	return answer, err
}

func away(context.Context) (authenticationv1.TokenReviewStatus, error) {
	return authenticationv1.TokenReviewStatus{}, errors.New("connection refused")
}

func TestAnAnswerIsBelievedForAWhile(t *testing.T) {
	for _, one := range []struct {
		name         string
		answer       func(context.Context) (authenticationv1.TokenReviewStatus, error)
		still, after time.Duration
	}{
		{"good", good, 9 * time.Second, 11 * time.Second},
		{"bad", bad, 1900 * time.Millisecond, 2100 * time.Millisecond},
	} {
		believing(t, time.Hour, func(o *oracle, authorize func() (identity.Caller, error)) {
			o.token = one.answer
			_, first := authorize()
			if (first == nil) != (one.name == "good") {
				t.Errorf("%s: %v", one.name, first)
			}
			time.Sleep(one.still)
			if _, again := authorize(); fmt.Sprint(again) != fmt.Sprint(first) || o.asked != 1 {
				t.Errorf("%s: first %v, then %v, asked %d times", one.name, first, again, o.asked)
			}
			time.Sleep(one.after - one.still)
			if _, again := authorize(); fmt.Sprint(again) != fmt.Sprint(first) || o.asked != 2 {
				t.Errorf("%s, later: first %v, then %v, asked %d times", one.name, first, again, o.asked)
			}
		})
	}
}

func TestNoAnswerIsNotBelieved(t *testing.T) {
	believing(t, time.Hour, func(o *oracle, authorize func() (identity.Caller, error)) {
		o.token = away
		for range 3 {
			if _, err := authorize(); err == nil || status.Code(err) == codes.Unauthenticated {
				t.Errorf("got %v", err)
			}
		}
		o.token = good
		if _, err := authorize(); err != nil || o.asked != 4 {
			t.Errorf("got %v, asked %d times", err, o.asked)
		}
	})
}

func TestAnAPIServerThatSaysNothingIsGivenUp(t *testing.T) {
	believing(t, time.Hour, func(o *oracle, authorize func() (identity.Caller, error)) {
		o.token = func(ctx context.Context) (authenticationv1.TokenReviewStatus, error) {
			<-ctx.Done()

			return authenticationv1.TokenReviewStatus{}, ctx.Err()
		}
		began := time.Now()
		if _, err := authorize(); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 10*time.Second {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
	})
}

func TestACallerIsBelievedForItsTokensTimeFromTheReviewAndAnHourAtMost(t *testing.T) {
	for life, want := range map[time.Duration]time.Duration{10 * time.Minute: 10 * time.Minute, 24 * time.Hour: time.Hour} {
		believing(t, life, func(o *oracle, authorize func() (identity.Caller, error)) {
			// The API server takes its time for the answer: that counts.
			o.token = func(ctx context.Context) (authenticationv1.TokenReviewStatus, error) {
				time.Sleep(3 * time.Second)

				return good(ctx)
			}
			reviewed := time.Now()
			caller, err := authorize()
			if err != nil || caller.Node != "node-a" || caller.Until.Sub(reviewed) != want {
				t.Errorf("%v: %+v for %v, error %v", life, caller, caller.Until.Sub(reviewed), err)
			}
			time.Sleep(5 * time.Second)
			if again, err := authorize(); err != nil || again.Until != caller.Until {
				t.Errorf("%v: asked again, it is until %v, not %v; error %v", life, again.Until, caller.Until, err)
			}
		})
	}
}

func TestAnAnswerForAnotherAudienceIsNone(t *testing.T) {
	believing(t, time.Hour, func(o *oracle, authorize func() (identity.Caller, error)) {
		o.token = func(ctx context.Context) (authenticationv1.TokenReviewStatus, error) {
			answer, err := good(ctx)
			answer.Audiences = []string{"another"}

			return answer, err
		}
		if _, err := authorize(); status.Code(err) != codes.Unauthenticated {
			t.Errorf("got %v", err)
		}
	})
}
