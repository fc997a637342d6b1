// Package guard stands over the node's own network while multinic's interfaces are changed.
package guard

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/transaction"
	"multinic.dev/executor/internal/underlay"
)

const (
	// lasting is how long something must be gone to be lost: others take addresses and routes away and put them back at once, as
	// DHCP clients do.
	lasting = 2 * time.Second
	// lookEvery is how often it is looked for meanwhile.
	lookEvery = 100 * time.Millisecond
)

// Kernel is what a guard asks of the node's kernel.
type Kernel interface {
	// Read reads what the kernel has.
	Read(ctx context.Context) (plan.Kernel, error)
	// Lookup is the kernel's own route lookup.
	Lookup(destination netip.Addr) (plan.Path, error)
}

// Target is somebody whom the node must go on reaching by the same way.
type Target struct {
	// Name is for people, such as "the dispatcher".
	Name    string
	Address netip.Addr
}

// Config is what a Guard is made of.
type Config struct {
	Kernel Kernel
	// Own are the node's own addresses, as far as they are known.
	Own []netip.Addr
	// Targets finds those whom the node must go on reaching, besides its default gateways. It may take a second.
	Targets func(ctx context.Context) []Target
	// Answers says whether a neighbour on a link answers a request from one of the node's own addresses.
	Answers func(ctx context.Context, link int, source, neighbour netip.Addr) (bool, error)
	// Dial reaches the dispatcher afresh, within DialTimeout; nil: there is no network between.
	Dial        func(ctx context.Context) error
	DialTimeout time.Duration
	Log         *zap.Logger
}

// Guard compares the node's own network, and the ways that lead out of it, before and after.
type Guard struct {
	Config

	// targets are what Ways has found, and found is when.
	targets []Target
	found   time.Time
}

var _ transaction.Guard = &Guard{}

// New returns a guard.
func New(config Config) *Guard { return &Guard{Config: config} }

// before is what there was.
type before struct {
	*Guard

	claims   plan.Claims
	underlay underlay.Underlay
	ways     []way
	// answered are the gateways that answered.
	answered []gateway
}

// way is how a target was reached.
type way struct {
	Target

	path plan.Path
}

type gateway struct {
	way

	source netip.Addr
}

// Begin looks at what there is. The error of what it returns says what was lost, and wraps transaction.ErrPathChanged where it is
// the way to somebody.
func (g *Guard) Begin(ctx context.Context, kernel plan.Kernel, claims plan.Claims) (func(context.Context) error, error) {
	b := &before{Guard: g, claims: claims, underlay: underlay.Of(kernel, claims, g.Own)}
	gateways := gatewaysOf(b.underlay)
	for _, target := range append(g.Targets(ctx), gateways...) {
		path, err := g.Kernel.Lookup(target.Address)
		if err != nil {
			return nil, err
		}
		// Whom the node does not reach it cannot lose.
		if path != (plan.Path{}) {
			b.ways = append(b.ways, way{target, path})
		}
	}
	for _, w := range b.ways {
		if !slices.Contains(gateways, w.Target) {
			continue
		}
		answered, err := g.Answers(ctx, w.path.Link, w.path.Source, w.Address)
		if err != nil {
			return nil, fmt.Errorf("ask whether %s answers: %w", w.Name, err)
		}
		if answered {
			b.answered = append(b.answered, gateway{way: w, source: w.path.Source})
		}
	}

	return b.after, nil
}

// gatewaysOf are the next hops of the default routes.
func gatewaysOf(u underlay.Underlay) []Target {
	var gateways []Target
	for _, route := range u.Defaults {
		target := Target{Name: "the default gateway", Address: route.Via}
		if route.Via.IsValid() && !slices.Contains(gateways, target) {
			gateways = append(gateways, target)
		}
	}

	return gateways
}

// after says what is not as it was.
func (b *before) after(ctx context.Context) error {
	if err := b.lasts(ctx, b.lost); err != nil {
		return err
	}
	if err := b.lasts(ctx, b.rerouted); err != nil {
		return err
	}
	if b.Dial == nil {
		return b.lasts(ctx, b.silent)
	}
	dialling, cancel := context.WithTimeout(ctx, b.DialTimeout)
	defer cancel()
	err := b.Dial(dialling)
	if err == nil {
		return nil
	}
	if silent := b.lasts(ctx, b.silent); silent != nil {
		return silent
	}
	b.Log.Info("the dispatcher cannot be reached, by the same way as before, whose gateway answers: it is taken to be down", zap.Error(err))

	return nil
}

// lasts looks for something that is wrong, until it is not any more, or for so long that it counts.
func (b *before) lasts(ctx context.Context, wrong func(ctx context.Context) error) error {
	began := time.Now()
	for {
		err := wrong(ctx)
		if err == nil || time.Since(began) >= lasting {
			return err
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return err
		}
	}
}

// lost says what of the node's own network is gone.
func (b *before) lost(ctx context.Context) error {
	kernel, err := b.Kernel.Read(ctx)
	if err != nil {
		return fmt.Errorf("read what the kernel has: %w", err)
	}
	if lost := b.underlay.Lost(underlay.Of(kernel, b.claims, b.Own)); len(lost) > 0 {
		return &LostError{Lost: lost}
	}

	return nil
}

// LostError says what of the node's own network is gone.
type LostError struct{ Lost []string }

func (e *LostError) Error() string {
	return "the node's own network has lost something meanwhile, so all was put back: " + strings.Join(e.Lost, ", ")
}

// rerouted says who is reached by another way.
func (b *before) rerouted(context.Context) error {
	for _, was := range b.ways {
		path, err := b.Kernel.Lookup(was.Address)
		if err != nil {
			return err
		}
		if path != was.path {
			return fmt.Errorf("%w, so all was put back: %s (%s) was reached %s and now is reached %s", transaction.ErrPathChanged,
				was.Name, was.Address, words(was.path), words(path))
		}
	}

	return nil
}

func words(path plan.Path) string {
	switch {
	case path == plan.Path{}:
		return "not at all"
	case path.Via.IsValid():
		return fmt.Sprintf("by the link with index %d via %s from %s", path.Link, path.Via, path.Source)
	}

	return fmt.Sprintf("by the link with index %d from %s", path.Link, path.Source)
}

// silent says which gateway does not answer any more.
func (b *before) silent(ctx context.Context) error {
	for _, one := range b.answered {
		answers, err := b.Answers(ctx, one.path.Link, one.source, one.Address)
		if err != nil {
			return fmt.Errorf("ask whether %s answers: %w", one.Name, err)
		}
		if !answers {
			return fmt.Errorf("%w, so all was put back: %s (%s) does not answer any more", transaction.ErrPathChanged, one.Name, one.Address)
		}
	}

	return nil
}
