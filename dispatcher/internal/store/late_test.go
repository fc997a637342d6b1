package store_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"multinic.dev/dispatcher/internal/row"
	"multinic.dev/dispatcher/internal/store"
	"multinic.dev/testbed/mariadb"
)

// result is what Commit returned.
type result struct {
	committed []bool
	err       error
}

// begin commits rows in the background. The channel gives the result; the test must take it.
func begin(t *testing.T, s *store.Store, rows []row.Row) <-chan result {
	t.Helper()
	done, begun := make(chan result, 1), make(chan struct{})
	go func() {
		close(begun)
		committed, err := s.Commit(context.WithoutCancel(t.Context()), rows, nil)
		done <- result{committed, err}
	}()
	<-begun

	return done
}

// take waits for a result.
func take(t *testing.T, results <-chan result) result {
	t.Helper()
	select {
	case one := <-results:
		return one
	case <-time.After(patience):
		t.Fatalf("Commit did not return within %v", patience)

		return result{}
	}
}

// hold locks a row until the returned function is called.
func (w writer) hold(id int64) (release func()) {
	w.t.Helper()
	transaction, err := w.db.BeginTx(w.t.Context(), nil)
	must(w.t, err)
	_, err = transaction.ExecContext(w.t.Context(), "SELECT id FROM multi_interface WHERE id = ? FOR UPDATE", id)
	must(w.t, err)

	return func() {
		if err := transaction.Rollback(); err != nil && !errors.Is(err, mysql.ErrInvalidConn) {
			w.t.Error(err)
		}
	}
}

func TestALockedRowIsPassedOverAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	s := open(t, server)
	for _, flip := range directions {
		table.do("DELETE FROM multi_interface; INSERT INTO multi_interface (id, attached_node_name, netplan_success) VALUES" +
			strings.Repeat(" (NULL, 'a', "+flip.from+"),", 9) + " (1000, 'b', " + flip.from + ")")
		read := rows(t, s)
		want := slices.Repeat([]bool{true}, len(read))
		var release []func()
		for _, i := range []int{0, 4, 5, 9} { // alone, beside another, the first and the last
			release = append(release, table.hold(read[i].ID))
			want[i] = false
		}
		commits(t, s, read, want...)
		for _, release := range release {
			release()
		}
		for i := range want {
			want[i] = !want[i]
		}
		commits(t, s, read, want...) // the control, of the same rows
		if flags, want := table.flags(), strings.TrimSpace(strings.Repeat(flip.to+" ", len(read))); flags != want {
			t.Errorf("%s: netplan_success is %s", flip.name, flags)
		}
	}
}

// TestALockOnAnIndexThatHasTheFlagHoldsUpOnlyWhatItIsAbout has somebody look for rows that are not there, so that none may
// appear there: no row is locked, and yet a flag cannot get its new place in the index.
func TestALockOnAnIndexThatHasTheFlagHoldsUpOnlyWhatItIsAbout(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("ALTER TABLE multi_interface ADD INDEX pending (netplan_success, vlan);" +
		" INSERT INTO multi_interface (attached_node_name, vlan, netplan_success) VALUES" +
		" ('a', 10, 1), ('a', 20, 1), ('b', 5, 0), ('b', 12, 0), ('b', 14, 0), ('b', 25, 0), ('c', 30, 1)")
	s := open(t, server)
	read := rows(t, s)
	transaction, err := table.db.BeginTx(t.Context(), nil)
	must(t, err)
	_, err = transaction.ExecContext(t.Context(), "SELECT id FROM multi_interface FORCE INDEX (pending) WHERE netplan_success = 1 AND vlan = 15 FOR UPDATE")
	must(t, err)
	commits(t, s, read[2:], true, false, false, true, true)
	if flags := table.flags(); flags != "1 1 1 0 0 1 0" {
		t.Errorf("netplan_success is %s", flags)
	}
	must(t, transaction.Rollback())
	commits(t, s, read[2:], false, true, true, false, false) // the control, of the same rows
}

func TestAServerThatUndoesAWholeTransactionForALockedRowSetsNothing(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t, mariadb.WithRollbackOnTimeout())
	table := controller(t, server)
	table.do("INSERT INTO multi_interface (attached_node_name, netplan_success) VALUES ('a', 0), ('a', 0), ('b', 1)")
	s := open(t, server)
	read := rows(t, s)
	release := table.hold(2)
	committed, err := s.Commit(t.Context(), read, nil)
	release()
	passes(t, err, "the database at "+address(server)+" (--db-host, --db-port) answered: lock rows from 1 to 3:"+
		" Error 1205 (HY000): Lock wait timeout exceeded; try restarting transaction")
	if flags := table.flags(); flags != "0 0 1" || slices.Contains(committed, true) {
		t.Errorf("committed %v, netplan_success is %s", committed, flags)
	}
	commits(t, s, rows(t, s), true, true, true)
}

func TestWhatIsNotConfirmedIsLeftAsItWasAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("INSERT INTO multi_interface (attached_node_name, netplan_success, updated_at) VALUES" +
		" ('a', 0, '2026-01-02 03:04:05'), ('b', 7, '2026-01-02 03:04:05'), ('c', 0, '2026-01-02 03:04:05')," +
		" ('d', 1, '2026-01-02 03:04:05'), ('e', 1, '2026-01-02 03:04:05'), ('f', 1, '2026-01-02 03:04:05')")
	s := open(t, server)
	read := rows(t, s)
	table.do("UPDATE multi_interface SET vlan = 5 WHERE id IN (3, 6)")
	var asked string
	committed, err := s.Commit(t.Context(), read, func(rows []row.Row) []bool {
		var answers []bool
		for _, one := range rows {
			asked += one.Node.Text
			answers = append(answers, one.Node.Text != "b" && one.Node.Text != "e")
		}
		// Nobody can change them now.
		for _, id := range []int64{1, 4} {
			const change = "SET STATEMENT innodb_lock_wait_timeout = 0 FOR UPDATE multi_interface SET vlan = 5 WHERE id = ?"
			if _, err := table.db.ExecContext(t.Context(), change, id); err == nil {
				t.Errorf("row %d, which is about to be flipped, was changed", id)
			}
		}

		return answers
	})
	must(t, err)
	// Those that have changed are not flipped, so not asked for; those that are not confirmed are as they were, their time too.
	if want := []bool{true, false, false, true, false, false}; !slices.Equal(committed, want) || asked != "abde" {
		t.Errorf("committed %v, asked for %v", committed, asked)
	}
	const left = "SELECT GROUP_CONCAT(netplan_success, ' ', updated_at ORDER BY id) FROM multi_interface WHERE id IN (2, 5)"
	if got := table.ask(left); got != "7 2026-01-02 03:04:05,1 2026-01-02 03:04:05" {
		t.Errorf("the rows that were not confirmed have become %s", got)
	}
	if flags := table.flags(); flags != "1 7 0 0 1 1" {
		t.Errorf("netplan_success is %s", flags)
	}
	committed, err = s.Commit(t.Context(), rows(t, s), func(rows []row.Row) []bool { return make([]bool, len(rows)) })
	if err != nil || slices.Contains(committed, true) || table.flags() != "1 7 0 0 1 1" {
		t.Errorf("with nothing confirmed: committed %v, error %v", committed, err)
	}
}

func TestACommitThatWasHeldUpForLongDoesNotLast(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("INSERT INTO multi_interface (attached_node_name, netplan_success) VALUES ('a', 0), ('a', 1)")
	s := open(t, server)
	for _, held := range []struct {
		time time.Duration
		want bool
	}{
		{late, false},
		{time.Millisecond, true}, // the control
	} {
		committed, err := s.Commit(t.Context(), rows(t, s), func(rows []row.Row) []bool {
			<-time.After(held.time) // It is the passing of time that is tested.

			return slices.Repeat([]bool{true}, len(rows))
		})
		if err != nil || !slices.Equal(committed, []bool{held.want, held.want}) {
			t.Errorf("after %v: committed %v, error %v", held.time, committed, err)
		}
	}
	if flags := table.flags(); flags != "1 0" {
		t.Errorf("netplan_success is %s", flags)
	}
}

// late is longer than the four seconds after which what was verified is old.
const late = 4800 * time.Millisecond

func TestAServerThatStandsStillForLongSetsNothing(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("INSERT INTO multi_interface (attached_node_name, netplan_success) VALUES ('a', 0), ('a', 1)")
	s := open(t, server)
	read := rows(t, s)
	for _, stands := range []struct {
		time time.Duration
		want bool
	}{
		{late, false},
		{time.Millisecond, true}, // the control
	} {
		must(t, server.Pause())
		done := begin(t, s, read)
		<-time.After(stands.time) // It is the passing of time that is tested.
		must(t, server.Resume())
		if got := take(t, done); got.err != nil || !slices.Equal(got.committed, []bool{stands.want, stands.want}) {
			t.Errorf("after %v: committed %v, error %v", stands.time, got.committed, got.err)
		}
	}
	if flags := table.flags(); flags != "1 0" {
		t.Errorf("netplan_success is %s", flags)
	}
}

// TestWhatIsHeldUpOnItsWayIsNotSet holds up what the store sends, one statement at a time.
func TestWhatIsHeldUpOnItsWayIsNotSet(t *testing.T) {
	t.Parallel()
	for _, statement := range []string{"START TRANSACTION", "SELECT CAST", "SELECT m.id", "UPDATE"} {
		t.Run(statement, func(t *testing.T) {
			t.Parallel()
			server := mariadb.Start(t)
			table := controller(t, server)
			table.do("INSERT INTO multi_interface (attached_node_name, netplan_success) VALUES ('a', 0), ('a', 1)")
			read := rows(t, open(t, server))
			for _, held := range []struct {
				time  time.Duration
				want  bool
				flags string
			}{
				{late, false, "0 1"},
				{time.Millisecond, true, "1 0"}, // the control
			} {
				config := settings(server)
				var holding atomic.Bool
				config.Port = relay(t, server.Port(), func(sent string) string {
					if strings.HasPrefix(sent, statement) && holding.CompareAndSwap(true, false) {
						<-time.After(held.time) // It is the passing of time that is tested.
					}

					return sent
				})
				s := openWith(t, config)
				must(t, s.Prepare(t.Context())) // which has statements of its own
				holding.Store(true)
				commits(t, s, read, held.want, held.want)
				if holding.Load() {
					t.Error("it was not sent")
				}
				if flags := table.flags(); flags != held.flags {
					t.Errorf("after %v netplan_success is %s", held.time, flags)
				}
			}
		})
	}
}

// TestWhatIsLateByTheServersClockIsNotSet has the server's clock go on, while ours stands, before the rows are locked: so it
// is when the machine that we are on slept meanwhile.
func TestWhatIsLateByTheServersClockIsNotSet(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("INSERT INTO multi_interface (attached_node_name, netplan_success) VALUES ('a', 0), ('a', 1), ('b', 0)")
	read := rows(t, open(t, server))
	for _, slept := range []struct {
		clock string
		want  []bool
		flags string
	}{
		{"SYSDATE(6) + INTERVAL 5 SECOND", []bool{false, false, false}, "0 1 0"},
		{"SYSDATE(6) + INTERVAL IF(m.id = 2, 5, 0) SECOND", []bool{true, false, true}, "1 1 1"},
		{"SYSDATE(6) + INTERVAL 0 SECOND", []bool{false, true, false}, "1 0 1"}, // the control, of what is left
	} {
		config := settings(server)
		config.Port = relay(t, server.Port(), func(sent string) string {
			if strings.HasSuffix(sent, "FOR UPDATE") {
				return strings.ReplaceAll(sent, "SYSDATE(6)", slept.clock)
			}

			return sent
		})
		commits(t, openWith(t, config), read, slept.want...)
		if flags := table.flags(); flags != slept.flags {
			t.Errorf("%s: netplan_success is %s", slept.clock, flags)
		}
	}
}

func address(server *mariadb.Server) string {
	return net.JoinHostPort(server.Host(), strconv.Itoa(server.Port()))
}
