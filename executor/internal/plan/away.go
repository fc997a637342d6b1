package plan

import "slices"

// Away are the changes that take away what is left of the interfaces of claimed NICs that are not there: the rules for traffic from their
// addresses. The kernel takes all else of a link away with it. Without the addresses and routes the rules lead nowhere, and whoever gets
// such an address next should not be led by them. They are multinic's by their mark, or by that of a network manager that sets up what is
// persisted; what an interface that is there needs as well, stays.
func Away(claims Claims, kernel Kernel) []Change {
	var away []int // The N of their names.
	for mac, claim := range claims {
		if number, ours := Number(claim.Name); ours && len(candidates(kernel, mac)) == 0 {
			away = append(away, number)
		}
	}
	isOf := func(table int) bool {
		return slices.ContainsFunc(away, func(number int) bool { return isOfNIC(table, number) })
	}
	isLeft := func(rule Rule) bool {
		return !rule.Other && isAnInterfaces(rule.Preference) && rule.asOurs().Protocol == Protocol
	}
	// isNeeded says whether the address that a rule is from is another's, which then has the same rule into `main`.
	isNeeded := func(rule Rule) bool {
		return slices.ContainsFunc(kernel.Links, func(l Link) bool { return l.hasAddress(fromAddress(rule)) }) ||
			slices.ContainsFunc(kernel.Rules, func(other Rule) bool {
				return other.From == rule.From && IsOurTable(other.Table) && other.Table != SharedTable && !isOf(other.Table)
			})
	}
	var intoMain, intoOwn []Change // In this order: one into `main` is known by the others.
	for _, rule := range kernel.Rules {
		isWithOne := slices.ContainsFunc(kernel.Rules, func(other Rule) bool { return isLeft(other) && other.From == rule.From && isOf(other.Table) })
		switch {
		case !isLeft(rule):
		case isOf(rule.Table):
			intoOwn = append(intoOwn, RemoveRule{rule})
		case rule.Table == MainTable && isWithOne && !isNeeded(rule):
			intoMain = append(intoMain, RemoveRule{rule})
		}
	}
	return append(intoMain, intoOwn...)
}
