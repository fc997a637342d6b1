package transaction

import (
	"context"
	"errors"
	"slices"

	"go.uber.org/zap"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/record"
)

// divide keeps the steps of the cards that concern what outlives a boot for later, and returns the others.
func (r *run) divide(steps map[string][]step) map[string][]step {
	volatile := make(map[string][]step, len(steps))
	r.persists = map[string]step{}
	for mac, all := range steps {
		for _, s := range all {
			if plan.IsPersistence(s.change) {
				r.persists[mac] = s
			} else {
				volatile[mac] = append(volatile[mac], s)
			}
		}
	}
	return volatile
}

// check fails the cards that could not be persisted, before anything is done to them.
func (r *run) check(ctx context.Context, steps map[string][]step) {
	var configs []plan.Config
	var keys []plan.Key
	for _, mac := range r.alive {
		for _, s := range steps[mac] {
			if persist, is := s.change.(plan.Persist); is {
				configs, keys = append(configs, *persist.Config), append(keys, s.key)
			}
		}
	}
	if len(configs) == 0 {
		return
	}
	for i, err := range r.Files.Check(ctx, configs) {
		if err != nil {
			r.fail(keys[i].MAC, keys[i], Failure{Kind: Lasting, Err: err})
		}
	}
}

// persist has the next boot make of the cards what the kernel was proved to be, and proves that too. It says whether any failed.
func (r *run) persist(ctx context.Context) bool {
	var changes []plan.Change
	for _, mac := range r.alive {
		if s, is := r.persists[mac]; is {
			changes = append(changes, s.change)
		}
	}
	if len(changes) == 0 {
		return false
	}
	if err := r.keep(ctx, changes); err != nil {
		r.failAll(nil, Failure{Kind: Lasting, Err: err})
		return true
	}
	var gone []string
	for _, change := range changes {
		if forget, is := change.(plan.Forget); is {
			gone = append(gone, forget.NIC)
		}
	}
	r.letGo(ctx, gone)
	were := len(r.alive)
	r.verify(ctx)
	return len(r.alive) < were
}

// verify proves once more what the cards are, now that it is persisted. A manager that was told, and is slow, may have done only now what
// was done without it meanwhile, and so twice: that is put right, as everything but what is persisted can be.
func (r *run) verify(ctx context.Context) {
	for pass := range passes {
		kernel, err := r.readWhole(ctx, r.macs())
		if err != nil {
			r.failAll(nil, Failure{Kind: Unverified, Err: err})
			return
		}
		r.kernel = kernel
		remains := r.left(kernel, record.Claims(r.Record.Cards()))
		for key, f := range remains.blocked {
			r.fail(key.MAC, key, f)
		}
		isLeft := false
		for _, mac := range slices.Clone(r.alive) {
			left := remains.steps[mac]
			isPersisted := !slices.ContainsFunc(left, func(s step) bool { return plan.IsPersistence(s.change) })
			switch {
			case len(left) == 0:
			case isPersisted && pass < passes-1:
				isLeft = true
				r.apply(mac, left)
			default:
				r.fail(mac, left[0].key, Failure{Kind: Unverified, Left: changesOf(left)})
			}
		}
		if !isLeft {
			return
		}
	}
}

// keep makes changes of what outlives a boot.
func (t *Transactor) keep(ctx context.Context, changes []plan.Change) error {
	var configs []plan.Config
	var forget []string
	for _, change := range changes {
		switch c := change.(type) {
		case plan.Persist:
			configs = append(configs, *c.Config)
		case plan.Forget:
			forget = append(forget, c.NIC)
		}
	}
	if len(configs)+len(forget) == 0 {
		return nil
	}
	return t.Files.Persist(ctx, configs, forget)
}

// sweep removes what can be wanted back no longer. What cannot be removed is in nobody's way.
func (t *Transactor) sweep() {
	if err := t.Files.Sweep(); err != nil {
		t.Log.Warn("what is persisted no longer could not be removed", zap.Error(err))
	}
}

// tidy removes what an executor has left half written that was killed. What cannot be removed is in nobody's way.
func (t *Transactor) tidy() {
	if err := t.Files.Tidy(); err != nil {
		t.Log.Warn("what was left half written could not be removed", zap.Error(err))
	}
}

// Volatile is the Persister of a host on which nothing outlives a boot: the executor makes all anew when it starts.
type Volatile struct{}

var errVolatile = errors.New("nothing outlives a boot here")

// Check refuses all.
func (Volatile) Check(_ context.Context, configs []plan.Config) []error {
	failed := make([]error, len(configs))
	for i := range failed {
		failed[i] = errVolatile
	}
	return failed
}

// Persist persists nothing, and refuses all.
func (Volatile) Persist(context.Context, []plan.Config, []string) error { return errVolatile }

// Sweep has nothing to remove.
func (Volatile) Sweep() error { return nil }

// Tidy has nothing to remove.
func (Volatile) Tidy() error { return nil }
