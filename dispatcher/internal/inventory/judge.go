package inventory

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"multinic.dev/dispatcher/internal/row"
)

// Judge says what becomes of a node's rows: the items that they ask for, ordered by key, and a verdict a row, ordered by id.
// Rows that ask for the same under the same key are one item; rows that ask for different things under one key are all
// refused, for there is no telling which of them is meant.
func Judge(rows []row.Row) ([]Item, []Verdict) {
	verdicts := make([]Verdict, 0, len(rows))
	wishes := map[Key][]wish{}
	for _, r := range rows {
		verdict := Verdict{Row: r.ID}
		key, spec, err := parse(r)
		verdict.Key = key
		if err != nil {
			verdict.Outcome, verdict.Message = Refused, err.Error()
		}
		if key != (Key{}) {
			// A bad row also speaks for its key: a typo in one of two rows must not leave the other to decide alone.
			wishes[key] = append(wishes[key], wish{at: len(verdicts), spec: spec, bad: err != nil})
		}
		verdicts = append(verdicts, verdict)
	}
	items := make([]Item, 0, len(wishes))
	for key, wished := range wishes {
		if item, ok := settle(key, wished, verdicts); ok {
			items = append(items, item)
		}
	}
	slices.SortFunc(items, func(a, b Item) int { return a.Key.Compare(b.Key) })
	if len(items) > MaxItems {
		refuseSurplus(items[MaxItems:], verdicts)
		items = items[:MaxItems]
	}
	slices.SortStableFunc(verdicts, func(a, b Verdict) int { return cmp.Compare(a.Row, b.Row) })

	return items, verdicts
}

// wish is what one row asks for under a key.
type wish struct {
	at   int // the place of its verdict
	spec Spec
	bad  bool
}

// settle makes an item of all that is wished under one key, or marks the verdicts where there is none.
func settle(key Key, wished []wish, verdicts []Verdict) (Item, bool) {
	item := Item{Key: key, Spec: wished[0].spec, Revision: revision(key, wished[0].spec)}
	agreed, bad := true, false
	for _, one := range wished {
		item.Rows = append(item.Rows, verdicts[one.at].Row)
		bad = bad || one.bad
		agreed = agreed && revision(key, one.spec) == item.Revision
	}
	slices.Sort(item.Rows)
	if agreed && !bad {
		return item, true
	}
	for _, one := range wished {
		if verdict := &verdicts[one.at]; !one.bad {
			verdict.Outcome = Conflict
			verdict.Message = fmt.Sprintf("rows %s ask for different things under mac_address %s and vlan %d: keep one of them",
				list(item.Rows), key.MAC, key.VLAN)
		}
	}

	return Item{}, false
}

// list words ids, the first few of them.
func list(ids []int64) string {
	const most = 8
	words := make([]string, 0, most)
	for _, id := range ids[:min(len(ids), most)] {
		words = append(words, strconv.FormatInt(id, 10))
	}
	if len(ids) > most {
		words = append(words, "…")
	}

	return strings.Join(words, ", ")
}

// refuseSurplus marks the rows of items that are too many.
func refuseSurplus(items []Item, verdicts []Verdict) {
	surplus := make(map[Key]bool, len(items))
	for _, item := range items {
		surplus[item.Key] = true
	}
	for i := range verdicts {
		if verdict := &verdicts[i]; verdict.Outcome == Accepted && surplus[verdict.Key] {
			verdict.Outcome = Refused
			verdict.Message = fmt.Sprintf("the node has more than %d interfaces, and this is one of those past the limit in the order of mac_address and vlan:"+
				" delete rows", MaxItems)
		}
	}
}
