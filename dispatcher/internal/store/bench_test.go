package store_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"multinic.dev/dispatcher/internal/row"
	"multinic.dev/testbed/mariadb"
)

// fleet is 100,000 rows on 10,000 nodes.
const fleet = "INSERT INTO multi_interface (attached_node_name, mac_address, ip_address, subnet_mask, gateway, dns)" +
	" SELECT CONCAT('node-', LPAD(seq DIV 10, 5, '0'), '.example.org'), CONCAT('fa:16:3e:', LPAD(HEX(seq), 6, '0'))," +
	" CONCAT('10.', seq DIV 65536, '.', seq DIV 256 % 256, '.', seq % 256), '255.0.0.0', '10.255.255.254', '10.255.255.253' FROM seq_0_to_99999"

const (
	fleetRows = 100_000
	batch     = 1000
)

// BenchmarkFleet reads and commits a table of 100,000 rows on 10,000 nodes. The last one is what commits are measured by:
// SQL that sets the same flags in batches by primary key, and compares nothing. It says how many times as long a commit takes.
func BenchmarkFleet(b *testing.B) {
	server := mariadb.Start(b)
	table := controller(b, server)
	table.do(fleet)
	s := open(b, server)
	b.Run("a picture of all", func(b *testing.B) {
		for b.Loop() {
			picture(b, s)
		}
	})
	b.Run("a poll that sees nothing", func(b *testing.B) {
		w := follow(b, s, time.Nanosecond)
		w.next()
		w.sound()
		before := w.count()
		began := time.Now()
		w.until("polls", func() bool { return w.polls >= before+b.N })
		// Follow rests for as long as a poll took.
		b.ReportMetric(float64(time.Since(began).Nanoseconds())/2/float64(b.N), "ns/poll")
	})
	all := rows(b, s)
	reset := func(b *testing.B) {
		b.Helper()
		b.StopTimer()
		table.do("UPDATE multi_interface SET netplan_success = 0, updated_at = '2026-01-02 03:04:05'")
		all = rows(b, s)
		b.StartTimer()
	}
	flip := func(b *testing.B, from int, want func(row.Row) bool) {
		b.Helper()
		committed, err := s.Commit(b.Context(), all[from:from+batch], nil)
		must(b, err)
		for at, one := range all[from : from+batch] {
			if committed[at] != want(one) {
				b.Fatalf("committed %v: %s", committed[at], showRow(one))
			}
		}
	}
	var commit time.Duration
	b.Run("commits of 1000 rows", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			from := i * batch % fleetRows
			if from == 0 {
				reset(b)
			}
			flip(b, from, func(row.Row) bool { return true })
		}
		commit = b.Elapsed() / time.Duration(b.N)
	})
	b.Run("commits of 1000 rows, 10 of them locked", func(b *testing.B) {
		// The rows of one node in each batch, as their writer would have them.
		transaction, err := table.db.BeginTx(b.Context(), &sql.TxOptions{Isolation: sql.LevelReadCommitted}) // which locks no others
		must(b, err)
		const locked = " % 1000 BETWEEN 501 AND 510"
		reset(b)
		_, err = transaction.ExecContext(b.Context(), "SELECT id FROM multi_interface WHERE id"+locked+" FOR UPDATE")
		must(b, err)
		for i := 0; b.Loop(); i++ {
			if i == fleetRows/batch {
				b.Fatal("there are no more rows")
			}
			flip(b, i*batch, func(one row.Row) bool { return one.ID%1000 < 501 || one.ID%1000 > 510 })
		}
		must(b, transaction.Rollback())
	})
	b.Run("plain SQL for 1000 rows", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			from := i * batch % fleetRows
			if from == 0 {
				reset(b)
			}
			var ids []string
			for _, one := range all[from : from+batch] {
				ids = append(ids, fmt.Sprint(one.ID))
			}
			table.do("UPDATE multi_interface SET netplan_success = 1 WHERE id IN (" + strings.Join(ids, ", ") + ")")
		}
		b.ReportMetric(float64(commit)/float64(b.Elapsed()/time.Duration(b.N)), "commits/plain")
	})
}
