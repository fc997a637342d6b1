package store_test

import (
	"sync"
	"testing"

	"multinic.dev/dispatcher/internal/row"
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
