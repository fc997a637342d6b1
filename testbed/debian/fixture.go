package debian

import (
	"context"
	"errors"

	"multinic.dev/testbed/sandbox"
)

// Built is a fixture that has the trees of releases built where there is a network: outside of the sandbox, before the
// suite enters it. Tests then find them with Tree. It does nothing for an ordinary user,
// nor where apt knows no archive of Debian.
func Built(releases []Release, options ...Option) sandbox.Fixture {
	return func() (end func() error, err error) {
		if !sandbox.RealRoot() {
			return nothing, nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
		defer cancel()
		for _, release := range releases {
			_, err := Tree(ctx, release, options...)
			if errors.Is(err, ErrNoArchive) {
				break // The tests that need a tree are skipped then.
			}
			if err != nil {
				return nil, err
			}
		}
		return nothing, nil
	}
}

func nothing() error { return nil }
