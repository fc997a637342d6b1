package transaction

import (
	"slices"

	"multinic.dev/executor/internal/plan"
)

// yields says whether a change takes an address from a link, and another of all gives it to another link. Those come before anything
// else is given, so that no address is ever on two links: others on the wire would hear two MACs for it.
func yields(change plan.Change, all []plan.Change) bool {
	remove, is := change.(plan.RemoveAddress)
	return is && slices.ContainsFunc(all, func(other plan.Change) bool {
		add, is := other.(plan.AddAddress)
		return is && add.Link != remove.Link && add.Address.Prefix.Addr() == remove.Address.Prefix.Addr()
	})
}

// yield has the cards give up what others of them are about to get. Whoever sets them up then, a network manager too, finds it free.
func (r *run) yield(steps map[string][]step) {
	var all []plan.Change
	for _, mac := range r.alive {
		all = append(all, changesOf(steps[mac])...)
	}
	for _, mac := range slices.Clone(r.alive) {
		r.apply(mac, slices.DeleteFunc(slices.Clone(steps[mac]), func(s step) bool { return !yields(s.change, all) }))
	}
}
