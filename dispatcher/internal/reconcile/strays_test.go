package reconcile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"multinic.dev/dispatcher/internal/reconcile"
	"multinic.dev/dispatcher/internal/row"
	"multinic.dev/dispatcher/internal/store"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// plugged says that the links of what a player has are there.
func (p *player) plugged(is bool) *player {
	for _, result := range p.has {
		result.Observed = nil
		if is {
			result.Observed = &multinicv1.Observed{LinkIndex: 3}
		}
	}
	p.report(uint64(len(p.works)))

	return p
}

// misname puts the third of a node's three rows under another name, in place.
func misname(r *reconcile.Reconciler, rows []row.Row, name row.Value) {
	typo := rows[2]
	typo.Node = name
	r.Changed(store.Change{Nodes: map[string][]row.Row{rows[0].Node.Text: rows[:2], typo.Owner(): {typo}}})
}

// TestATypoInTheNodesNameOfALiveRowLeavesItsInterface and takes its flag, and says why.
func TestATypoInTheNodesNameOfALiveRowLeavesItsInterface(t *testing.T) {
	const unknown = ", of which no executor has connected, and the node \"node-a\" has the NIC: "
	for name, test := range map[string]struct {
		node    row.Value
		shown   string // under which name
		message string
	}{
		"a typo":               {row.Text("node-q"), "node-q", `attached_node_name is "node-q"` + unknown + "correct it, or start the node's executor"},
		"a trailing blank":     {row.Text("node-a "), "node-a ", `attached_node_name is "node-a "` + unknown + "the two differ by blanks alone"},
		"NULL":                 {row.Null(), "(no node)", "attached_node_name is empty: write the node's name"},
		"the empty text":       {row.Text(""), "(no node)", "attached_node_name is empty: write the node's name"},
		"blanks":               {row.Text("  "), "  ", "attached_node_name is empty: write the node's name"},
		"more than 512 bytes":  {row.Text(strings.Repeat("x", 513)), "(no node)", `attached_node_name "` + strings.Repeat("x", 64) + `…": a node's name has up to 512 bytes: write the node's name`},
		"exactly 512 bytes":    {row.Text(strings.Repeat("x", 512)), strings.Repeat("x", 512), `attached_node_name is "` + strings.Repeat("x", 64) + `"` + unknown + "correct it, or start the node's executor"},
		"somebody who is near": {row.Text("node-a.elsewhere"), "node-a.elsewhere", `attached_node_name is "node-a.elsewhere"` + unknown + "correct it, or start the node's executor"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
				rows := interfaces("node-a", 1, 3)
				r.Changed(picture(rows...))
				p := join(t, r, "node-a", stands(rows...)).plugged(true)
				misname(r, rows, test.node)
				p.after(time.Hour)
				if len(p.removed) > 0 || guard(t, r).GetReason() != "" {
					t.Errorf("removed %v, the guard is %v", p.removed, guard(t, r))
				}
				if stats, _ := r.Stats(); stats.Revocations != 1 {
					t.Errorf("%d flags were taken back", stats.Revocations)
				}
				view, _, _ := r.Node(test.shown)
				if got := view.GetRows(); len(got) != 1 || got[0].GetVerdict() != multinicv1.RowVerdict_ROW_VERDICT_REFUSED || got[0].GetMessage() != test.message {
					t.Errorf("the row is %v, want the message %s", got, test.message)
				}
				view, _, _ = r.Node("node-a")
				if hold := view.GetInterfaces()[2].GetHold(); hold.GetReason() != multinicv1.HoldReason_HOLD_REASON_STRAY_ROW || !strings.Contains(hold.GetMessage(), "row 3") {
					t.Errorf("the hold is %v", hold)
				}
				// Put right again, nothing was ever sent about it.
				works := len(p.works)
				r.Changed(store.Change{Nodes: map[string][]row.Row{"node-a": rows, test.node.Text: {}, row.Row{Node: test.node}.Owner(): {}}})
				p.after(time.Second)
				if len(p.removed) > 0 || len(p.works) > works+1 {
					t.Errorf("put right: removed %v, %d pictures", p.removed, len(p.works)-works)
				}
				if view, _, _ = r.Node("node-a"); view.GetInterfaces()[2].GetHold() != nil {
					t.Errorf("the hold is %v", view.GetInterfaces()[2].GetHold())
				}
			})
		})
	}
}

// TestAMisnamedRowKeepsNothingWhoseLinkIsGone nor anything once a node of its name has come.
func TestAMisnamedRowKeepsNothingWhoseLinkIsGone(t *testing.T) {
	for name, what := range map[string]func(r *reconcile.Reconciler, p *player){
		"the link is unplugged": func(_ *reconcile.Reconciler, p *player) { p.plugged(false) },
		"the node comes":        func(r *reconcile.Reconciler, p *player) { join(p.t, r, "node-b", nil) },
		"the row goes":          func(r *reconcile.Reconciler, _ *player) { r.Changed(changed("node-b")) },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
				rows := interfaces("node-a", 1, 3)
				r.Changed(picture(rows...))
				p := join(t, r, "node-a", stands(rows...)).plugged(true)
				misname(r, rows, row.Text("node-b"))
				p.after(time.Hour)
				if len(p.removed) > 0 {
					t.Fatalf("removed %v", p.removed)
				}
				what(r, p)
				p.after(time.Second)
				p.after(time.Minute)
				if fmt.Sprint(p.removed) != "[00:03/0]" {
					t.Errorf("removed %v", p.removed)
				}
			})
		})
	}
}

// TestANodeThatHasNotComeYetKeepsItsFlags after a restart of the dispatcher, though another says that it has its NIC.
func TestANodeThatHasNotComeYetKeepsItsFlags(t *testing.T) {
	for _, test := range []struct {
		name    string
		plugged bool
		late    time.Duration
		revoked uint64
	}{
		{"another remembers the NIC, and has not got it", false, time.Hour, 0},
		{"another has the NIC, and the node comes in time", true, 19 * time.Second, 0},
		{"another has the NIC, and the node does not come", true, 30 * time.Second, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
				rows := interfaces("node-a", 1, 3)
				moved := rows[2]
				moved.Node = row.Text("node-b")
				r.Changed(picture(rows[0], rows[1], moved))
				p := join(t, r, "node-a", stands(rows...)).plugged(test.plugged)
				for range int(test.late / time.Second) {
					p.after(time.Second)
				}
				join(t, r, "node-b", stands(moved)).after(time.Second)
				p.after(time.Second)
				if stats, _ := r.Stats(); stats.Revocations != test.revoked {
					t.Errorf("%d flags were taken back, want %d", stats.Revocations, test.revoked)
				}
			})
		})
	}
}

// TestATableWithNothingButRowsOfNoNodeIsEmpty as far as the guard goes.
func TestATableWithNothingButRowsOfNoNodeIsEmpty(t *testing.T) {
	run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
		rows := interfaces("a", 1, 3)
		r.Changed(picture(rows...))
		p := join(t, r, "a", nil) // Its links are not there.
		nameless := make([]row.Row, 3)
		for i := range rows {
			nameless[i] = rows[i]
			nameless[i].Node = row.Null()
		}
		r.Changed(store.Change{Nodes: map[string][]row.Row{"a": {}, row.NoNode: nameless}})
		p.after(time.Hour)
		if held := guard(t, r); len(p.removed) > 0 || held.GetTotal() != 3 {
			t.Errorf("removed %v, the guard is %v", p.removed, held)
		}
	})
}
