package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/record"
	"multinic.dev/executor/internal/transaction"
)

// Transactions are what makes changes; see transaction.Transactor.
type Transactions interface {
	Recover(ctx context.Context) error
	Make(ctx context.Context, order transaction.Order) transaction.Failures
	Release(ctx context.Context, releases []plan.Release) transaction.Failures
}

// Cleanup gives back all cards of the record, as they were before they were multinic's: name, MTU, settings, and up if they were
// up. It writes a line for each. No executor may run meanwhile. What was not done is an error that says so, and so is an interface
// with a name of multinic's of which the record says nothing; Cleanup can be called again.
func Cleanup(ctx context.Context, out io.Writer, cards []record.Card, kernel Reader, transactions Transactions) error {
	if err := transactions.Recover(ctx); err != nil {
		return fmt.Errorf("put back what a killed executor has left: %w", err)
	}
	var releases []plan.Release
	for _, card := range cards {
		release := plan.Release{MAC: card.MAC, Whole: true, KeepUp: true}
		if card.Was != nil {
			release.Original = &card.Was.Original
		}
		for _, one := range card.Interfaces {
			release.VLANs = append(release.VLANs, one.VLAN)
		}
		releases = append(releases, release)
	}
	failures := transactions.Release(ctx, releases)
	var err error
	for _, card := range cards {
		if failure, failed := failures.Of(plan.Key{MAC: card.MAC}); failed {
			err = errors.Join(err, fmt.Errorf("give back %s (%s): %w", card.Name, card.MAC, failure.Cause()))

			continue
		}
		if _, failed := fmt.Fprintf(out, "%s (%s) is given back\n", card.Name, card.MAC); failed != nil {
			err = errors.Join(err, failed)
		}
	}
	// The rules for traffic that is bound to no address go with the last interface.
	shared := transactions.Make(ctx, transaction.Order{})
	for _, failure := range shared {
		err = errors.Join(err, failure.Cause())
	}
	if len(cards) == 0 {
		_, failed := io.WriteString(out, "no interface of this node is multinic's\n")
		err = errors.Join(err, failed)
	}

	return errors.Join(err, strangers(ctx, cards, kernel))
}

// strangers says which links bear a name of multinic's of which the record knows nothing.
func strangers(ctx context.Context, cards []record.Card, kernel Reader) error {
	has, err := kernel.Read(ctx)
	if err != nil {
		return fmt.Errorf("read what the kernel has: %w", err)
	}
	for _, link := range has.Links {
		if plan.IsOurName(link.Name) && !slices.ContainsFunc(cards, func(c record.Card) bool { return c.MAC == link.MAC }) {
			err = errors.Join(err, fmt.Errorf(
				"%s (%s) is left: the state directory knows nothing of it; give the one that the node's executor has, or rename the link", link.Name, link.MAC,
			))
		}
	}

	return err
}
