package transaction

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/record"
)

// Recover puts back what a transaction has left that did not end: that of an executor which was killed, or one that could not
// be put back before. It may be killed as well, and be called again, at any point. Without such a transaction it costs nothing.
func (t *Transactor) Recover(ctx context.Context) error {
	if !t.unfinished {
		return nil
	}
	t.stuck, t.stuckCards = nil, nil
	err := t.recover(ctx)
	t.unfinished, t.stuck = err != nil, err
	if err == nil {
		t.tidy()
	}
	return err
}

// Unfinished says why a card is not yet what it was before a transaction that did not end, and is about to be put back; nil: it is not.
func (t *Transactor) Unfinished(mac string) error {
	if t.stuck == nil || t.stuckCards != nil && !slices.Contains(t.stuckCards, mac) {
		return nil
	}
	return t.stuck
}

func (t *Transactor) recover(ctx context.Context) error {
	entry, err := t.Journal.Read()
	if err != nil || entry == nil {
		return err
	}
	t.stuckCards = []string{}
	for _, former := range entry.Cards {
		t.stuckCards = append(t.stuckCards, former.MAC)
	}
	t.observe(ctx)
	log := t.Log.With(zap.Int("cards", len(entry.Cards)))
	switch {
	case entry.Machine != t.Machine:
		log.Warn("the journal is another machine's, from which this one was cloned: it is put away")
	case entry.Boot != t.Boot:
		log.Info("the node was restarted in the middle of a transaction: its record is put back")
		if err := t.followBoot(ctx, *entry); err != nil {
			return err
		}
	default:
		log.Warn("a transaction was left in the middle: rolling back")
		if err := t.putBack(context.WithoutCancel(ctx), *entry); err != nil {
			return err
		}
		log.Info("rolled back")
	}
	return t.Journal.End()
}

// followBoot makes the record of the cards of an entry what the kernel was made by the boot since: what it was, but for those that
// were persisted anew before, which stay multinic's as they are.
func (t *Transactor) followBoot(ctx context.Context, entry Entry) error {
	kernel, err := t.Kernel.Read(ctx)
	if err != nil {
		return fmt.Errorf("read what the kernel has: %w", err)
	}
	for _, former := range entry.Cards {
		if kernel.Persisted != nil && !former.IsPersistedStill(kernel) {
			continue
		}
		if err := t.Record.Restore(former.MAC, entry.Record); err != nil {
			return fmt.Errorf("put back the record of %s: %w", former.MAC, err)
		}
	}
	return nil
}

// putBack makes the cards of an entry what they were, in the kernel and then in the record.
func (t *Transactor) putBack(ctx context.Context, entry Entry) error {
	var macs []string
	for _, former := range entry.Cards {
		macs = append(macs, former.MAC)
	}
	var refused error
	for pass := 0; ; pass++ {
		kernel, err := t.readWhole(ctx, macs)
		if err != nil {
			return err
		}
		var left []plan.Change
		for _, former := range entry.Cards {
			left = append(left, former.Restore(kernel)...)
		}
		for _, change := range left {
			if yields(change, left) {
				_ = t.Kernel.Apply(change) // What is refused is left, and said then.
			}
		}
		if pass == 0 && t.recall(ctx, entry) {
			if err := t.awaitFormer(ctx, entry, macs); err != nil {
				return err
			}
			continue
		}
		if len(left) == 0 {
			break
		}
		if pass == passes {
			err := errors.Join(fmt.Errorf("put back what was: %s", Lacking(left)), refused)
			if slices.ContainsFunc(left, func(change plan.Change) bool { return !plan.IsForeign(change) }) {
				return err
			}
			// It must not hold up the node for ever.
			t.Log.Warn("what somebody else had put on a card cannot be put back, and is given up", zap.Strings("mac", macs), zap.Error(err))
			break
		}
		refused = t.keep(ctx, left)
		for _, change := range left {
			// What fails now may be possible in the next pass, once something else is back.
			if !plan.IsPersistence(change) {
				refused = errors.Join(refused, t.Kernel.Apply(change))
			}
		}
	}
	for _, mac := range macs {
		if err := t.Record.Restore(mac, entry.Record); err != nil {
			return fmt.Errorf("put back the record of %s: %w", mac, err)
		}
	}
	return t.putBackShared(ctx)
}

// awaitFormer waits until the manager has made the cards of an entry what they were, or has had its time.
func (t *Transactor) awaitFormer(ctx context.Context, entry Entry, macs []string) error {
	tick := time.NewTicker(managerInterval)
	defer tick.Stop()
	for deadline := time.Now().Add(managerTime); time.Now().Before(deadline); <-tick.C {
		kernel, err := t.readWhole(ctx, macs)
		if err != nil {
			return err
		}
		isLeft := slices.ContainsFunc(entry.Cards, func(former plan.Former) bool { return slices.ContainsFunc(former.Restore(kernel), isContent) })
		if !isLeft {
			return nil
		}
	}
	return nil
}

// isContent says whether a change is one of what a network manager sets up on a link.
func isContent(change plan.Change) bool {
	switch change.(type) {
	case plan.AddAddress, plan.RemoveAddress, plan.AddRoute, plan.RemoveRoute, plan.AddRule, plan.RemoveRule:
		return true
	}
	return false
}

// putBackShared makes what belongs to no card what the cards need that are there now.
func (t *Transactor) putBackShared(ctx context.Context) error {
	kernel, err := t.Kernel.Read(ctx)
	if err != nil {
		return fmt.Errorf("put back what was: %w", err)
	}
	for _, change := range plan.Shared(record.Claims(t.Record.Cards()), kernel) {
		err = errors.Join(err, t.Kernel.Apply(change))
	}
	return err
}

// readWhole reads the kernel, with the settings of all links of some cards.
func (t *Transactor) readWhole(ctx context.Context, macs []string) (plan.Kernel, error) {
	kernel, err := t.Kernel.Read(ctx)
	if err != nil {
		return plan.Kernel{}, fmt.Errorf("read what the kernel has: %w", err)
	}
	for i := range kernel.Links {
		link := &kernel.Links[i]
		if link.Settings != nil || link.Loopback || !slices.Contains(macs, link.MAC) {
			continue
		}
		if link.Settings, err = t.Kernel.Settings(link.Name); err != nil {
			return plan.Kernel{}, fmt.Errorf("read what the kernel has: %w", err)
		}
	}
	return kernel, nil
}
