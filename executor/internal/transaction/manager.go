package transaction

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/record"
)

// Manager is the host's network manager, which can be told of NICs.
type Manager interface {
	// Tell has it set NICs up as configurations say, and let go of those that are forgotten. It returns as soon as it knows; only the
	// kernel shows what it does. An error says why it was not told, or did not answer.
	Tell(ctx context.Context, configs []plan.Config, forget []string) error
	// Ready says why it could not be told now; nil: it could.
	Ready(ctx context.Context) error
	// Observe is called before anything of what it reads is changed.
	Observe(ctx context.Context)
	// Knows says whether it was told of a NIC, and not to forget it, and IsTold whether of just this.
	Knows(nic string) bool
	IsTold(config plan.Config) bool
}

// Activation is what makes changes live.
type Activation string

// The activations. ByManager is tried first, and where it cannot be, or does not lead to what was asked for, the kernel is changed.
const (
	ByKernel  Activation = "kernel"
	ByManager Activation = "manager"
)

// managerTime is how long the manager may take until the kernel shows more of what it was told, mostTime is for all of it, and
// managerInterval how often the kernel is asked. All of it takes some tens of milliseconds; emulated and overloaded machines take seconds.
// What is done without the manager while it is still at work would stand there twice, and be taken away again.
const (
	managerTime     = 3 * time.Second
	mostTime        = 30 * time.Second
	managerInterval = 20 * time.Millisecond
)

// Activation is what the last changes were made live by.
func (t *Transactor) Activation() Activation {
	if t.byManager {
		return ByManager
	}
	return ByKernel
}

// observe has the manager look at what there is, before anything is changed.
func (t *Transactor) observe(ctx context.Context) {
	if t.Manager != nil {
		t.Manager.Observe(ctx)
	}
}

// activate has the manager set up the cards, whose links are prepared, and says whether it was told. What is left after it has had its
// time is for the kernel.
func (r *run) activate(ctx context.Context) bool {
	if r.Manager == nil {
		return false
	}
	var configs []plan.Config
	for _, mac := range r.alive {
		persist, is := r.persists[mac].change.(plan.Persist)
		// What it has made of somebody else's file it would make anew, and take the address away for a moment that is there already.
		isAdopted := slices.ContainsFunc(r.formers[mac].Persisted, func(config plan.Config) bool { return config.Foreign != nil })
		if is && (!isAdopted || r.OnlyManager) {
			configs = append(configs, *persist.Config)
		}
	}
	if len(configs) == 0 {
		return false
	}
	err := r.Manager.Tell(ctx, configs, nil)
	r.byManager = err == nil
	if err == nil {
		return true
	}
	r.Log.Info("the host's network manager was not told of the change; the kernel is changed instead", zap.Error(err))
	r.failStubs(err)
	if r.OnlyManager {
		for _, mac := range slices.Clone(r.alive) {
			if s, is := r.persists[mac]; is {
				r.fail(mac, s.key, Failure{Kind: Refused, Err: err})
			}
		}
	}
	return false
}

// resumes says whether the manager sets up a card anew by itself that was just given its name back: it was told of just what the card
// should be, and lets go of a link that has another name.
func (r *run) resumes(steps map[string][]step) bool {
	return slices.ContainsFunc(r.alive, func(mac string) bool {
		config, is := r.kernel.Persisted[r.names[mac]]
		isRenamed := slices.ContainsFunc(steps[mac], func(s step) bool { _, is := s.change.(plan.Rename); return is })
		return isRenamed && is && r.Manager != nil && config.Foreign == nil && r.Manager.IsTold(config)
	})
}

// checkStubs fails the cards that the manager has by DHCP, if it could not be told to let go of them, before anything is done to them.
func (r *run) checkStubs(ctx context.Context) {
	if len(r.stubs) == 0 {
		return
	}
	err := errors.New("the kernel alone is to be changed here (--activation=kernel)")
	if r.Manager != nil {
		err = r.Manager.Ready(ctx)
	}
	if err != nil {
		r.failStubs(err)
	}
}

// failStubs fails the cards that the manager has by DHCP, as it cannot be told to let go of them.
func (r *run) failStubs(err error) {
	for _, mac := range slices.Clone(r.alive) {
		if stub := r.stubs[mac]; stub != nil {
			r.fail(mac, plan.Key{MAC: mac, VLAN: wholeCard}, Failure{Kind: Refused, Err: fmt.Errorf(
				"%s has an address asked for it by DHCP, and the host's network manager must be told to let go of it: %w", stub.File, err)})
		}
	}
}

// await reads the kernel until the manager has left nothing to do, or has had its time, and returns what is left.
func (r *run) await(ctx context.Context) (steps map[string][]step, shared []plan.Change, err error) {
	tick := time.NewTicker(managerInterval)
	defer tick.Stop()
	var before map[string][]step
	began := time.Now()
	for last := began; ; <-tick.C {
		if steps, shared, err = r.read(ctx); err != nil {
			return nil, nil, err
		}
		now := time.Now()
		if !maps.EqualFunc(steps, before, slices.Equal[[]step]) {
			before, last = steps, now
		}
		isLeft := slices.ContainsFunc(r.alive, func(mac string) bool { return len(steps[mac]) > 0 })
		if !isLeft || now.Sub(last) > managerTime || now.Sub(began) > mostTime {
			return steps, shared, nil
		}
	}
}

// read reads the kernel, and what is left to be done then.
func (r *run) read(ctx context.Context) (steps map[string][]step, shared []plan.Change, err error) {
	kernel, err := r.readWhole(ctx, r.macs())
	if err != nil {
		return nil, nil, err
	}
	r.kernel = kernel
	left := r.left(kernel, record.Claims(r.Record.Cards()))
	steps = r.divide(left.steps)
	for key, f := range left.blocked {
		r.fail(key.MAC, key, f)
	}
	return steps, left.shared, nil
}

// letGo has the manager let go of what it was told of NICs, so that what is persisted of them counts. If it cannot be told, it finds that
// when it starts again.
func (t *Transactor) letGo(ctx context.Context, nics []string) {
	if t.Manager == nil || len(nics) == 0 {
		return
	}
	if err := t.Manager.Tell(ctx, nil, nics); err != nil {
		t.Log.Info("the host's network manager was not told to let go of NICs", zap.Strings("interface", nics), zap.Error(err))
	}
}

// recall has the manager set up anew the cards of an entry of which it was told something else than what they were, and says whether it
// was told.
func (t *Transactor) recall(ctx context.Context, entry Entry) bool {
	var configs []plan.Config
	var forget []string
	for _, former := range entry.Cards {
		for _, nic := range former.Names() {
			i := slices.IndexFunc(former.Persisted, func(config plan.Config) bool { return config.NIC == nic && config.Foreign == nil && !config.Spoiled })
			switch {
			case t.Manager == nil || !t.Manager.Knows(nic):
			case i < 0:
				forget = append(forget, nic)
			case !t.Manager.IsTold(former.Persisted[i]):
				configs = append(configs, former.Persisted[i])
			}
		}
	}
	if len(configs)+len(forget) == 0 {
		return false
	}
	if err := t.Manager.Tell(ctx, configs, forget); err != nil {
		t.Log.Info("the host's network manager was not told of what is put back; the kernel is changed instead", zap.Error(err))
		return false
	}
	return true
}
