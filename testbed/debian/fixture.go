package debian

import (
	"context"

	"multinic.dev/testbed/sandbox"
)

// Built is a fixture that has the trees of releases built where there is a network: outside of the sandbox, before the
// suite enters it. Tests then find them with Tree. It does nothing for an ordinary user.
func Built(releases []Release, options ...Option) sandbox.Fixture {
	return func() (end func() error, err error) {
		if !sandbox.RealRoot() {
			return nothing, nil
		}
		for _, release := range releases {
			if _, err := Tree(context.Background(), release, options...); err != nil {
				return nil, err
			}
		}
		return nothing, nil
	}
}

func nothing() error { return nil }
