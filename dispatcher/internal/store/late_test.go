package store_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"sync"
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
	table.do("INSERT INTO multi_interface (attached_node_name) VALUES ('a'), ('a'), ('b')")
	s := open(t, server)
	read := rows(t, s)
	release := table.hold(2)
	commits(t, s, read, true, false, true)
	if flags := table.flags(); flags != "1 0 1" {
		t.Errorf("netplan_success is %s", flags)
	}
	release()
	commits(t, s, read, false, true, false) // the control, of the same rows
}

func TestAServerThatUndoesAWholeTransactionForALockedRowSetsNothing(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t, mariadb.WithRollbackOnTimeout())
	table := controller(t, server)
	table.do("INSERT INTO multi_interface (attached_node_name) VALUES ('a'), ('a'), ('b')")
	s := open(t, server)
	read := rows(t, s)
	release := table.hold(2)
	committed, err := s.Commit(t.Context(), read, nil)
	release()
	passes(t, err, "the database at "+address(server)+" (--db-host, --db-port) answered: set netplan_success of row 2:"+
		" Error 1205 (HY000): Lock wait timeout exceeded; try restarting transaction")
	if flags := table.flags(); flags != "0 0 0" || slices.Contains(committed, true) {
		t.Errorf("committed %v, netplan_success is %s", committed, flags)
	}
	commits(t, s, rows(t, s), true, true, true)
}

func TestWhatIsNotConfirmedIsLeftAsItWasAndHoldsUpNobody(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("INSERT INTO multi_interface (attached_node_name, netplan_success, updated_at) VALUES" +
		" ('a', 0, '2026-01-02 03:04:05'), ('b', 7, '2026-01-02 03:04:05'), ('c', 0, '2026-01-02 03:04:05'), ('d', 1, '2026-01-02 03:04:05')")
	s := open(t, server)
	var asked []string
	committed, err := s.Commit(t.Context(), rows(t, s), func(rows []row.Row) []bool {
		var nodes string
		var answers []bool
		for _, one := range rows {
			nodes += one.Node.Text
			answers = append(answers, one.Node.Text != "b")
		}
		asked = append(asked, nodes)
		// Nobody can change them now.
		if _, err := table.db.ExecContext(t.Context(), "SET STATEMENT innodb_lock_wait_timeout = 0 FOR UPDATE multi_interface SET vlan = 5 WHERE id = 1"); err == nil {
			t.Error("a row that is about to be committed was changed")
		}

		return answers
	})
	must(t, err)
	// The one that is 1 already is turned over like the rest; the one that is not confirmed is as it was, its time too.
	if want := []bool{true, false, true, true}; !slices.Equal(committed, want) || !slices.Equal(asked, []string{"abcd", "acd"}) {
		t.Errorf("committed %v, asked for %v", committed, asked)
	}
	if got := table.ask("SELECT CONCAT(netplan_success, ' ', updated_at) FROM multi_interface WHERE id = 2"); got != "7 2026-01-02 03:04:05" {
		t.Errorf("the row that was not confirmed has become %s", got)
	}
	if flags := table.flags(); flags != "1 7 1 0" {
		t.Errorf("netplan_success is %s", flags)
	}
}

func TestACommitThatWasHeldUpForLongDoesNotLast(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("INSERT INTO multi_interface (attached_node_name) VALUES ('a')")
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
		if err != nil || !slices.Equal(committed, []bool{held.want}) {
			t.Errorf("after %v: committed %v, error %v", held.time, committed, err)
		}
	}
}

// late is longer than the four seconds after which what was verified is old.
const late = 4800 * time.Millisecond

func TestAServerThatStandsStillForLongSetsNothing(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("INSERT INTO multi_interface (attached_node_name) VALUES ('a'), ('a')")
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
	if flags := table.flags(); flags != "1 1" {
		t.Errorf("netplan_success is %s", flags)
	}
}

// TestRowsOfWhichOneComesLateAreNotSet holds up what the store sends for the second of three rows.
func TestRowsOfWhichOneComesLateAreNotSet(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("INSERT INTO multi_interface (attached_node_name) VALUES ('a'), ('a'), ('a')")
	read := rows(t, open(t, server))
	for _, held := range []struct {
		time  time.Duration
		want  []bool
		flags string
	}{
		{late, []bool{false, false, false}, "0 0 0"},
		{time.Millisecond, []bool{true, true, true}, "1 1 1"}, // the control
	} {
		config := settings(server)
		config.Port = dam(t, server.Port(), held.time)
		commits(t, openWith(t, config), read, held.want...)
		if flags := table.flags(); flags != held.flags {
			t.Errorf("after %v netplan_success is %s", held.time, flags)
		}
	}
}

// dam passes all on between a client and the server, but holds up the second prepared statement that is executed; the
// first is that of the first row. It returns its port.
func dam(t *testing.T, port int, hold time.Duration) int {
	t.Helper()
	const execute = 0x17                              // COM_STMT_EXECUTE, after a packet's length and number, in the MySQL protocol
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it listens at once or not at all
	must(t, err)
	var passing sync.WaitGroup
	t.Cleanup(passing.Wait)
	t.Cleanup(func() { must(t, listener.Close()) })
	passing.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed
			}
			server, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // on this machine
			if err != nil {
				t.Error(err)

				return
			}
			passing.Go(func() { pass(server, client, nil) })
			executed := 0
			passing.Go(func() {
				pass(client, server, func(packet []byte) {
					if len(packet) > 4 && packet[4] == execute {
						if executed++; executed == 2 {
							<-time.After(hold) // It is the passing of time that is tested.
						}
					}
				})
			})
		}
	})
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("the listener's address is %v", listener.Addr())
	}

	return address.Port
}

// pass copies until either end closes, and closes both. The driver writes a packet at a time.
func pass(from, to net.Conn, look func(packet []byte)) {
	defer func() { _, _ = from.Close(), to.Close() }() // whichever of the two directions ends first
	buffer := make([]byte, 1<<20)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if look != nil {
			look(buffer[:n])
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func address(server *mariadb.Server) string {
	return net.JoinHostPort(server.Host(), strconv.Itoa(server.Port()))
}
