// Package local does on a node what needs no dispatcher: it says what there is, and takes it away.
package local

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/record"
)

// Reader reads the node's kernel.
type Reader interface {
	Read(ctx context.Context) (plan.Kernel, error)
}

// Status writes what the node's interfaces are, by the record and by the kernel, all of their routes and rules, which `ip route`
// alone does not show, and what differs from what was last proved. It changes nothing.
func Status(ctx context.Context, out io.Writer, cards []record.Card, kernel Reader) error {
	has, err := kernel.Read(ctx)
	if err != nil {
		return fmt.Errorf("read what the kernel has: %w", err)
	}
	claims := record.Claims(cards)
	var items []plan.Item
	for _, card := range cards {
		for _, one := range card.Interfaces {
			if one.Proved != nil {
				items = append(items, plan.Item{Key: plan.Key{MAC: card.MAC, VLAN: one.VLAN}, Spec: *one.Proved})
			}
		}
	}
	decided := plan.Decide(items, claims, has)
	var text strings.Builder
	if len(cards) == 0 {
		text.WriteString("no interface of this node is multinic's\n")
	}
	for _, card := range cards {
		for _, one := range card.Interfaces {
			describe(&text, card, one, decided, has)
		}
	}
	for _, rule := range plan.SharedRulesIn(has) {
		fmt.Fprintf(&text, "shared rule %s\n", rule)
	}
	for _, change := range decided.Shared {
		fmt.Fprintf(&text, "  differs: %s\n", change)
	}
	_, err = io.WriteString(out, text.String())

	return err //nolint:wrapcheck // the caller knows where it writes to
}

func describe(text *strings.Builder, card record.Card, one record.Interface, decided plan.Plan, has plan.Kernel) {
	name := plan.NameOf(card.Name, one.VLAN)
	fmt.Fprintf(text, "%s  MAC %s", name, card.MAC)
	if one.VLAN != 0 {
		fmt.Fprintf(text, "  VLAN %d", one.VLAN)
	}
	i := slices.IndexFunc(decided.Decisions, func(d plan.Decision) bool { return d.Item.Key == plan.Key{MAC: card.MAC, VLAN: one.VLAN} })
	if i < 0 {
		text.WriteString("\n  nothing was ever proved of it\n")

		return
	}
	decision := decided.Decisions[i]
	switch {
	case decision.Obstacle != plan.None:
		fmt.Fprintf(text, "\n  %s\n", decision.Message)
	case len(decision.Changes) == 0:
		text.WriteString("  as proved\n")
	default:
		text.WriteString("  not as proved\n")
	}
	observed := plan.Observe(has, decision.Link, name)
	if observed.Link != 0 {
		state := "down"
		if observed.Up {
			state = "up"
		}
		fmt.Fprintf(text, "  link %d, %s, mtu %d\n", observed.Link, state, observed.MTU)
	}
	for _, list := range []struct {
		what  string
		lines []string
	}{{"address", observed.Addresses}, {"route", observed.Routes}, {"rule", observed.Rules}} {
		for _, line := range list.lines {
			fmt.Fprintf(text, "  %s %s\n", list.what, line)
		}
	}
	for _, change := range decision.Changes {
		fmt.Fprintf(text, "  differs: %s\n", change)
	}
}
