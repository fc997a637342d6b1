package identity

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/util/cache"
)

const (
	// known is how long an answer of the API server's that lets somebody in is believed: a pod that is gone, or a right that was taken
	// away, has that long still. It saves a client that makes one call after the other all but one question.
	known = 10 * time.Second
	// unknown is the same for an answer that keeps somebody out: shorter, so that a right that was just given is soon heeded.
	unknown = 2 * time.Second
	// remembered is how many answers of each kind are kept; the fleet's own fit twice. An answer takes some 1 KiB.
	remembered = 20_000
	// familiar is how long it is remembered that a pod, or a service account, was let in: for longer than an executor's session, which is
	// renewed within the hour.
	familiar = 2 * time.Hour
	// clocksDiffer is how wrong the clocks of nodes and of the API server may be. It says what is no token, not what is one.
	clocksDiffer = 24 * time.Hour
	// reviewTimeout is how long the API server may take for an answer, its own limits on our questions included.
	reviewTimeout = 10 * time.Second
)

// Reviewer asks the API server.
type Reviewer interface {
	// Token says whose a token is, as TokenReview does it, for one audience.
	Token(ctx context.Context, token, audience string) (authenticationv1.TokenReviewStatus, error)
	// Access says whether a user may get a non-resource URL, as SubjectAccessReview does it.
	Access(ctx context.Context, user authenticationv1.UserInfo, path string) (bool, error)
}

// reviews are questions to the API server, each asked once at a time, and its answers, as long as they are believed. No token is kept,
// only its hash.
type reviews struct {
	api      Reviewer
	audience string
	flight   singleflight.Group
	// yes and no are apart, so that whoever has a bad token cannot crowd out those who have a good one.
	yes, no *cache.LRUExpireCache
	// friends are those of whom a token was good of late, by what their tokens say of them that others cannot know; see claims.holder.
	friends *cache.LRUExpireCache
	// calls wait for an answer, many for the same one it may be; questions are asked, also when those who wanted to know have gone.
	calls, questions turns
}

func newReviews(api Reviewer, audience string) *reviews {
	return &reviews{
		api: api, audience: audience, yes: cache.NewLRUExpireCache(remembered), no: cache.NewLRUExpireCache(remembered),
		friends: cache.NewLRUExpireCache(remembered), calls: turns{waiting: map[line]int{}}, questions: turns{waiting: map[line]int{}},
	}
}

// holder is whose a token is.
type holder struct {
	user authenticationv1.UserInfo
	// reviewed is when the API server was asked, and life how long from then on the holder may be believed.
	reviewed time.Time
	life     time.Duration
}

// token says whose a token is. Errors: *RefusedError, *unknownError, or ctx's.
func (r *reviews) token(ctx context.Context, token string) (holder, error) {
	// What was not made by an API server for our audience is refused here: anybody may send it, and the API server is everybody's.
	claims, err := claimsOf(token)
	if err != nil {
		return holder{}, unauthenticated("%v", err)
	}
	if err := claims.check(time.Now()); err != nil {
		return holder{}, unauthenticated("%v", err)
	}
	if !slices.Contains(claims.Audience, r.audience) {
		return holder{}, unauthenticated("the token's audience is %q, not %q", claims.Audience, r.audience)
	}
	in, friend := strangerOf(ctx), claims.holder()
	if _, known := r.friends.Get(friend); known {
		in = line{name: friend}
	}

	return ask(ctx, r, in, "token", token, func(ctx context.Context) (holder, error) {
		reviewed := time.Now()
		status, err := r.api.Token(ctx, token, r.audience)
		switch {
		case err != nil:
			return holder{}, &unknownError{fmt.Errorf("ask the API server for a token's holder: %w", err)}
		case !status.Authenticated:
			return holder{}, unauthenticated("the API server does not accept the token: %s", status.Error)
		case !slices.Contains(status.Audiences, r.audience):
			return holder{}, unauthenticated("the API server accepts the token for the audience %q, not for %q", status.Audiences, r.audience)
		}
		if friend != "" {
			r.friends.Add(friend, nil, familiar)
		}

		return holder{user: status.User, reviewed: reviewed, life: min(longest, claims.life())}, nil
	})
}

// access says whether a token's holder may get a non-resource URL. Errors: *unknownError, or ctx's.
func (r *reviews) access(ctx context.Context, token string, user authenticationv1.UserInfo, path string) (bool, error) {
	allowed, err := ask(ctx, r, line{name: user.Username}, path, token, func(ctx context.Context) (bool, error) {
		allowed, err := r.api.Access(ctx, user, path)
		if err == nil && !allowed {
			return false, errDenied
		}
		if err != nil {
			return false, &unknownError{fmt.Errorf("ask the API server for a user's rights: %w", err)}
		}

		return true, nil
	})
	if errors.Is(err, errDenied) {
		return false, nil
	}

	return allowed, err
}

// errDenied is the answer that a user has no right, as one that is believed for less long.
var errDenied = errors.New("the API server says no")

// errBusy is why a caller is not asked about now.
var errBusy = errors.New("as many callers of its kind wait for the API server as may")

// ask answers from memory, or asks: once, however many want to know it at the same time, and for all of them though one may go. Who has to
// wait takes a turn in its line, or is told to come again.
func ask[T any](ctx context.Context, r *reviews, in line, question, token string, api func(context.Context) (T, error)) (T, error) {
	hash := sha256.Sum256([]byte(token))
	key := question + " " + string(hash[:])
	if value, ok := r.yes.Get(key); ok {
		return value.(T), nil //nolint:forcetypeassert // each question has its own kind of answer
	}
	var none T
	if value, ok := r.no.Get(key); ok {
		return none, value.(error) //nolint:forcetypeassert // that is what is put there
	}
	leave, ok := r.calls.take(in)
	if !ok {
		return none, &unknownError{errBusy}
	}
	defer leave()
	answer := r.flight.DoChan(key, func() (any, error) {
		leave, ok := r.questions.take(in)
		if !ok {
			return none, &unknownError{errBusy}
		}
		defer leave()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reviewTimeout)
		defer cancel()
		value, err := api(ctx)
		var unavailable *unknownError
		switch {
		case err == nil:
			r.yes.Add(key, value, known)
		case !errors.As(err, &unavailable):
			r.no.Add(key, err, unknown)
		}

		return value, err
	})
	select {
	case <-ctx.Done():
		return none, ctx.Err() //nolint:wrapcheck // the caller has gone
	case got := <-answer:
		if got.Err != nil {
			return none, got.Err
		}

		return got.Val.(T), nil //nolint:forcetypeassert // see above
	}
}

// claims are what a token says of itself (RFC 7519), as far as it matters here. They are to be believed once the API server has
// accepted the token.
type claims struct {
	Audience  audience `json:"aud"`
	Subject   string   `json:"sub"`
	Expires   *float64 `json:"exp"`
	Issued    *float64 `json:"iat"`
	NotBefore *float64 `json:"nbf"`
	// Kubernetes is what the API server says in the tokens that it makes.
	Kubernetes struct {
		Pod     object `json:"pod"`
		Account object `json:"serviceaccount"`
	} `json:"kubernetes.io"`
}

// object is one of Kubernetes', by its UID, which is random.
type object struct {
	UID string `json:"uid"`
}

// holder says whose token it claims to be, by UIDs: only who may read the API's objects, or has had such a token, can claim to be another.
// Empty: it has none.
func (c claims) holder() string {
	if c.Kubernetes.Account.UID == "" {
		return ""
	}
	hash := sha256.Sum256([]byte(c.Subject + "\x00" + c.Kubernetes.Account.UID + "\x00" + c.Kubernetes.Pod.UID))

	return string(hash[:])
}

// check says why it can be no good token now, by any clock that is not off by more than a day.
func (c claims) check(now time.Time) error {
	early, late := float64(now.Add(-clocksDiffer).Unix()), float64(now.Add(clocksDiffer).Unix())
	switch {
	case *c.Expires < early:
		return errors.New("the token's time has been over for more than a day")
	case *c.Issued > late, c.NotBefore != nil && *c.NotBefore > late:
		return errors.New("the token's time begins more than a day from now")
	}

	return nil
}

// life is how long the token is valid from when it was issued; by no clock but its issuer's.
func (c claims) life() time.Duration {
	return time.Duration((*c.Expires - *c.Issued) * float64(time.Second))
}

// audience is one text or a list of them.
type audience []string

// UnmarshalJSON reads either.
func (a *audience) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*a = audience{one}

		return nil
	}
	var all []string
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("its audience is neither a text nor a list of them: %w", err)
	}
	*a = all

	return nil
}

// claimsOf reads what a token says of itself. Errors never quote it.
func claimsOf(token string) (claims, error) {
	parts := strings.Split(token, ".")
	const all, signed = 3, 1
	if len(parts) != all {
		return claims{}, errors.New("the token is no JSON web token")
	}
	var by struct {
		Algorithm string `json:"alg"`
	}
	if header, err := base64.RawURLEncoding.DecodeString(parts[0]); err != nil || json.Unmarshal(header, &by) != nil || by.Algorithm == "" ||
		strings.EqualFold(by.Algorithm, "none") {
		return claims{}, errors.New("the token does not say how it is signed")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[signed])
	if err != nil {
		return claims{}, errors.New("the token's claims are not encoded as those of a JSON web token")
	}
	var read claims
	if err := json.Unmarshal(payload, &read); err != nil {
		return claims{}, errors.New("the token's claims cannot be read")
	}
	const century = 100 * 365 * 24 * 3600
	if read.Expires == nil || read.Issued == nil || !(*read.Expires > *read.Issued) || *read.Expires-*read.Issued > century {
		return claims{}, errors.New("the token does not say from when to when it is valid")
	}

	return read, nil
}

// unknownError says why it cannot be found out now who calls, or what a caller may do. It is not believed for any time.
type unknownError struct{ err error }

func (u *unknownError) Error() string { return u.err.Error() }

func (u *unknownError) Unwrap() error { return u.err }
