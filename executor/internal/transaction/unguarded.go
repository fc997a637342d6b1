package transaction

import (
	"context"

	"multinic.dev/executor/internal/plan"
)

// Unguarded is the Guard that lets everything pass, and the Prober that hears nobody: for what takes away alone, at the word of
// somebody who is there to look.
type Unguarded struct{}

// Begin looks at nothing.
func (Unguarded) Begin(context.Context, plan.Kernel, plan.Claims) (func(context.Context) error, error) {
	return func(context.Context) error { return nil }, nil
}

// InUse hears nobody.
func (Unguarded) InUse(_ context.Context, wanted []Wanted, _ []string) ([]string, error) {
	return make([]string, len(wanted)), nil
}
