package store_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"multinic.dev/dispatcher/internal/row"
	"multinic.dev/dispatcher/internal/store"
	"multinic.dev/testbed/mariadb"
)

func TestCommitsRereadsAndPollsDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("INSERT INTO multi_interface (attached_node_name, updated_at) SELECT seq MOD 10, '2026-01-02 03:04:05' FROM seq_0_to_199")
	s := open(t, server)
	read := rows(t, s)
	w := follow(t, s, poll)
	var working sync.WaitGroup
	for part := range 4 {
		working.Go(func() {
			for i := part; i < len(read); i += 4 {
				s.Reread(read[i].Node.Text)
				committed, err := s.Commit(t.Context(), []row.Row{read[i]}, nil)
				if err != nil || !committed[0] {
					t.Errorf("row %d: committed %v, error %v", read[i].ID, committed, err)
				}
			}
		})
	}
	working.Wait()
	seen := make(map[int64]bool)
	for done := 0; done < len(read); {
		for _, rows := range w.next().Nodes {
			for _, one := range rows {
				if one.Committed && !seen[one.ID] {
					seen[one.ID] = true
					done++
				}
			}
		}
	}
	w.failsNever()
}

// TestOfSeveralCommitsOfARowOneFlipsIt has several at work on the same rows, as two dispatchers would be.
func TestOfSeveralCommitsOfARowOneFlipsIt(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("INSERT INTO multi_interface (attached_node_name, netplan_success) SELECT 'a', seq MOD 2 FROM seq_1_to_700")
	stores := []*store.Store{open(t, server), open(t, server)}
	read := rows(t, stores[0])
	times := make([]atomic.Int64, len(read))
	var working sync.WaitGroup
	for part := range 4 {
		working.Go(func() {
			for range 5 {
				committed, err := stores[part%2].Commit(t.Context(), read, nil)
				if err != nil {
					t.Error(err)
				}
				for i, one := range committed {
					if one {
						times[i].Add(1)
					}
				}
			}
		})
	}
	working.Wait()
	commits(t, stores[0], read, slices.Repeat([]bool{false}, len(read))...)
	for i := range times {
		if n := times[i].Load(); n != 1 {
			t.Errorf("row %d was flipped %d times", read[i].ID, n)
		}
	}
	if got := table.ask("SELECT COUNT(*) FROM multi_interface WHERE netplan_success = id MOD 2"); got != "0" {
		t.Errorf("%s rows have the flag that they had", got)
	}
}
