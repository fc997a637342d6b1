package reconcile_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"multinic.dev/dispatcher/internal/reconcile"
	"multinic.dev/dispatcher/internal/row"
	"multinic.dev/dispatcher/internal/store"
)

// modelled is what a model of a table and its nodes knows by itself.
type modelled struct {
	*rapid.T

	r *reconcile.Reconciler
	// all are the rows that there can be, by node, and there says which of them are in the table.
	all     map[string][]row.Row
	there   map[int64]bool
	players map[string]*player
	// seen is when a row was last in the table as the dispatcher knows it, and polled when the newest read that succeeded began; blind
	// says that one has failed since.
	seen   map[string]time.Time
	polled time.Time
	blind  bool
	// removals are how many removals each node was sent before.
	removals map[string]int
}

func modelledKey(one row.Row) string { return one.MAC.Text[12:] + "/0" }

// hand hands over a node's rows as they are in the table.
func (m *modelled) hand(node string) {
	var rows []row.Row
	for _, one := range m.all[node] {
		if m.there[one.ID] {
			rows = append(rows, one)
		}
	}
	m.look()
	m.r.Changed(store.Change{Nodes: map[string][]row.Row{node: rows}})
	m.blind = false
	m.poll()
}

// poll is a read that begins and succeeds now.
func (m *modelled) poll() {
	m.polled, m.blind = time.Now(), false
	m.look()
	m.r.Polled(time.Now())
	m.check()
}

// look takes note of which rows are in the table now.
func (m *modelled) look() {
	for _, rows := range m.all {
		for _, one := range rows {
			if m.there[one.ID] {
				m.seen[modelledKey(one)] = time.Now()
			}
		}
	}
}

// check has the nodes do what they were sent, and looks at what that was.
func (m *modelled) check() {
	synctest.Wait()
	for node, p := range m.players {
		if p == nil {
			continue
		}
		p.play()
		for _, key := range p.removed[m.removals[node]:] {
			i := slices.IndexFunc(m.all[node], func(one row.Row) bool { return modelledKey(one) == key })
			since := time.Since(m.seen[key])
			known := m.polled.Sub(m.seen[key])
			if m.there[m.all[node][i].ID] || since < time.Minute || known < time.Minute || m.blind {
				m.Fatalf("%s was told to give up %s: in the table %v, seen %v ago, known %v later, blind %v", node, key, m.there[m.all[node][i].ID], since, known, m.blind)
			}
		}
		m.removals[node] = len(p.removed)
	}
}

// TestWhateverHappensARemovalIsSentOnlyAfterItsTime plays a table that loses and gets back rows, reads that fail, streams that are lost,
// and time; and at last, when nothing happens any more, what has no row is gone, and what has one is there.
func TestWhateverHappensARemovalIsSentOnlyAfterItsTime(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			r, end := start(t, reconcile.Policy{HoldDown: time.Minute, GuardShare: 1})
			defer end()
			m := &modelled{
				T: rt, r: r, all: map[string][]row.Row{"a": interfaces("a", 1, 3), "b": interfaces("b", 11, 3)}, there: map[int64]bool{},
				players: map[string]*player{}, seen: map[string]time.Time{}, removals: map[string]int{},
			}
			everything := store.Change{Full: true, Nodes: map[string][]row.Row{"other": interfaces("other", 99, 1)}}
			for node, rows := range m.all {
				everything.Nodes[node] = rows
				for _, one := range rows {
					m.there[one.ID] = true
				}
			}
			r.Changed(everything)
			for node, rows := range m.all {
				m.players[node] = join(t, r, node, stands(rows...))
			}
			join(t, r, "other", nil)
			m.poll()
			nodes := []string{"a", "b"}
			for range rapid.IntRange(1, 60).Draw(rt, "steps") {
				node := rapid.SampledFrom(nodes).Draw(rt, "node")
				switch rapid.SampledFrom([]string{"change", "change", "time", "time", "poll", "fail", "stream"}).Draw(rt, "step") {
				case "change":
					one := rapid.SampledFrom(m.all[node]).Draw(rt, "row")
					m.there[one.ID] = !m.there[one.ID]
					m.hand(node)
				case "time":
					for range rapid.IntRange(1, 70).Draw(rt, "seconds") {
						time.Sleep(time.Second)
						m.check()
						if !m.blind && rapid.Bool().Draw(rt, "polled") {
							m.poll()
						}
					}
				case "poll":
					m.poll()
				case "fail":
					m.blind = true
					r.Failed(errors.New("away"))
					m.check()
				case "stream":
					r.Close(m.players[node].session)
					m.players[node] = join(t, r, node, m.players[node])
					m.removals[node] = 0
					m.check()
				}
			}
			for range 70 {
				time.Sleep(time.Second)
				m.poll()
			}
			for node, rows := range m.all {
				for _, one := range rows {
					if _, has := m.players[node].has[modelledKey(one)]; has != m.there[one.ID] {
						rt.Errorf("at last %s has %s: %v, and its row is there: %v", node, modelledKey(one), has, m.there[one.ID])
					}
				}
			}
		})
	})
}
