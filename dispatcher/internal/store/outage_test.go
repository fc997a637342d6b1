package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"multinic.dev/dispatcher/internal/store"
	"multinic.dev/testbed/mariadb"
)

// impatient is a store that gives a server up after a second without a reply.
const impatient = time.Second

// passes requires an error of one line that is no *SetupError.
func passes(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want || isSetup(err) {
		t.Errorf("error (is a *SetupError: %v)\n%v\nwant\n%s", isSetup(err), err, want)
	}
}

// run executes statements as root over the server's socket: no connection of ours is in the way.
func run(t *testing.T, server *mariadb.Server, statements string) {
	t.Helper()
	must(t, server.Exec(t.Context(), statements))
}

func row1(address string) string {
	return `"a" 1 - "` + address + `" - - - "0" - "2026-01-02 03:04:05" pending`
}

const insertRow1 = "INSERT INTO multi_interface (id, attached_node_name, ip_address, updated_at) VALUES (1, 'a', '192.0.2.1', '2026-01-02 03:04:05')"

// set changes the row of insertRow1.
func set(address string) string {
	return "UPDATE multi_interface SET updated_at = updated_at, ip_address = '" + address + "'"
}

func TestNothingIsLostWhileTheServerIsAway(t *testing.T) {
	t.Parallel()
	for _, away := range []struct {
		name       string
		goes, back func(*mariadb.Server) error
		// says is what the failure says of it, between the server's address and the cause.
		says string
	}{
		{"stopped", (*mariadb.Server).Stop, (*mariadb.Server).Restart, ""},
		{"killed", (*mariadb.Server).Kill, (*mariadb.Server).Restart, ""},
		{"restarted", (*mariadb.Server).Restart, func(*mariadb.Server) error { return nil }, ""},
		{"paused", (*mariadb.Server).Pause, (*mariadb.Server).Resume, " (--db-host, --db-port) broke the connection, or did not reply within 1s: "},
	} {
		t.Run(away.name, func(t *testing.T) {
			t.Parallel()
			server := mariadb.Start(t)
			run(t, server, insertRow1)
			config := settings(server)
			config.ReplyTimeout = impatient
			s := openWith(t, config)
			w := follow(t, s, poll)
			w.sees("full\n" + row1("192.0.2.1"))

			run(t, server, set("192.0.2.2"))
			must(t, away.goes(server))
			if away.name != "restarted" { // It may be back before anybody looks.
				err := w.failure()
				if !strings.HasPrefix(err.Error(), "the database at "+address(server)+" ") || !strings.Contains(err.Error(), away.says) ||
					strings.Contains(err.Error(), "\n") || isSetup(err) {
					t.Errorf("the failure is %q", err)
				}
			}
			s.Reread("a", "z")
			must(t, away.back(server))
			// Whether the poll before saw the change or not, it is seen once at least; what was asked for is handed over as well.
			for {
				change := w.next()
				if got := show(change); got == row1("192.0.2.2")+"\n\"z\" has no rows" {
					break
				} else if got != row1("192.0.2.2") {
					t.Fatalf("the change is\n%s", got)
				}
			}
			run(t, server, set("192.0.2.3"))
			w.sees(row1("192.0.2.3"))
			w.seesNothing()
			committed, err := s.Commit(t.Context(), rows(t, openWith(t, config)), nil)
			if err != nil || !slices.Equal(committed, []bool{true}) {
				t.Errorf("committed %v, error %v", committed, err)
			}
		})
	}
}

func TestAServerThatIsAwayIsSaidSoOnceForEachAttempt(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	must(t, server.Stop())
	w := follow(t, open(t, server), poll)
	for range 3 {
		passes(t, w.failure(), "the database at "+address(server)+" cannot be reached (--db-host, --db-port): dial tcp "+address(server)+": connect: connection refused")
	}
	must(t, server.Restart())
	w.sees("full")
}

func TestATableThatIsTakenAwayAndPutBack(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	run(t, server, insertRow1)
	w := follow(t, open(t, server), poll)
	w.sees("full\n" + row1("192.0.2.1"))

	const gone = "the database multinic has no table multi_interface: create it, or set --db-name to the database that has it" +
		" (Table 'multinic.multi_interface' doesn't exist)"
	run(t, server, "RENAME TABLE multi_interface TO away")
	for range 2 {
		if err := w.failure(); err.Error() != gone || !isSetup(err) {
			t.Errorf("error %v\nwant %s", err, gone)
		}
	}
	run(t, server, "RENAME TABLE away TO multi_interface")
	w.seesNothing()

	run(t, server, "DROP TABLE multi_interface")
	if err := w.failure(); err.Error() != gone || !isSetup(err) {
		t.Errorf("error %v\nwant %s", err, gone)
	}
	// Another table under that name: with a column more, and without one that may be missing.
	run(t, server, "SET foreign_key_checks = 0; "+mariadb.Table+"; ALTER TABLE multi_interface ADD mtu INT, DROP updated_at;"+
		"INSERT INTO multi_interface (attached_node_name, mtu) VALUES ('b', 1400)")
	for {
		// The table may be seen while it is still being made.
		if got := show(w.next()); strings.Contains(got, `"b" 1 - - - - - "0" "1400" - pending`) {
			break
		}
	}
	w.seesNothing()
}

func TestAColumnThatIsDropped(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	run(t, server, insertRow1)
	w := follow(t, open(t, server), poll)
	w.sees("full\n" + row1("192.0.2.1"))

	run(t, server, "ALTER TABLE multi_interface DROP updated_at")
	passes(t, w.failure(), "the database at "+address(server)+" (--db-host, --db-port) has a table multi_interface that lacks a column which it had"+
		" (Unknown column 'm.updated_at' in 'SELECT')")
	w.sees(`"a" 1 - "192.0.2.1" - - - "0" - - pending`)

	run(t, server, "ALTER TABLE multi_interface DROP vlan")
	passes(t, w.failure(), "the database at "+address(server)+" (--db-host, --db-port) has a table multi_interface that lacks a column which it had"+
		" (Unknown column 'm.vlan' in 'SELECT')")
	want := "the table multi_interface has no column vlan: alter the table, or set --db-name (now multinic) to the database that has the right one"
	if err := w.failure(); err.Error() != want || !isSetup(err) {
		t.Errorf("error %v\nwant %s", err, want)
	}
	run(t, server, "ALTER TABLE multi_interface ADD vlan INT DEFAULT 5")
	w.sees(`"a" 1 - "192.0.2.1" - - - "5" - - pending`)
}

func TestACommitAfterAColumnWasDroppedFailsOnceAndThenKnows(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	run(t, server, insertRow1)
	s := open(t, server)
	read := rows(t, s)
	run(t, server, "ALTER TABLE multi_interface DROP updated_at")
	committed, err := s.Commit(t.Context(), read, nil)
	passes(t, err, "the database at "+address(server)+" (--db-host, --db-port) has a table multi_interface that lacks a column which it had"+
		" (Unknown column 'm.updated_at' in 'SELECT')")
	if !slices.Equal(committed, []bool{false}) {
		t.Errorf("committed %v", committed)
	}
	commits(t, s, rows(t, s), true)
}

func TestAReadOnlyServerIsWaitedFor(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	run(t, server, insertRow1)
	before := open(t, server)
	w := follow(t, before, poll)
	read := w.next().Nodes["a"]
	run(t, server, "SET GLOBAL read_only = 1")
	want := "the database at " + address(server) + " is read-only: --db-host must be the writable server"
	after := open(t, server)
	passes(t, after.Prepare(t.Context()), want)
	for _, s := range []*store.Store{before, after} {
		committed, err := s.Commit(t.Context(), read, nil)
		passes(t, err, want)
		if !slices.Equal(committed, []bool{false}) {
			t.Errorf("committed %v", committed)
		}
	}
	// Who reads already learns of it by the commit that failed.
	passes(t, w.failure(), want)
	run(t, server, "SET GLOBAL read_only = 0")
	w.sound()
	must(t, after.Prepare(t.Context()))
	commits(t, before, read, true)
}

func TestALockedTableIsSaidToBeLocked(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do(insertRow1)
	config := settings(server)
	config.ReplyTimeout = 2 * time.Second
	w := follow(t, openWith(t, config), poll)
	w.next()
	connection, err := table.db.Conn(t.Context())
	must(t, err)
	defer func() { must(t, connection.Close()) }()
	_, err = connection.ExecContext(t.Context(), "LOCK TABLES multi_interface WRITE")
	must(t, err)
	passes(t, w.failure(), "the database at "+address(server)+" (--db-host, --db-port) answered: ask for digests:"+
		" Error 1205 (HY000): Lock wait timeout exceeded; try restarting transaction")
	_, err = connection.ExecContext(t.Context(), set("192.0.2.2")+"; UNLOCK TABLES")
	must(t, err)
	w.sees(row1("192.0.2.2"))
}

func TestAServerThatDiesInACommitHasSetNothing(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	run(t, server, "INSERT INTO multi_interface (attached_node_name, netplan_success) VALUES ('a', 0), ('a', 1)")
	for _, dies := range []struct{ before, doing string }{
		{"SELECT m.id", "lock rows from 1 to 2: "},
		{"UPDATE", "set netplan_success = 0 of rows from 2 to 2: "},
		{"COMMIT", "commit: "},
	} {
		read := rows(t, open(t, server))
		config := settings(server)
		var ready atomic.Bool
		config.Port = relay(t, server.Port(), func(statement string) string {
			if ready.Load() && strings.HasPrefix(statement, dies.before) {
				if err := server.Kill(); err != nil {
					t.Error(err)
				}
			}

			return statement
		})
		s := openWith(t, config)
		must(t, s.Prepare(t.Context())) // which has statements of its own
		ready.Store(true)
		committed, err := s.Commit(t.Context(), read, nil)
		// How the driver words it depends on when it sees the connection's end.
		want := fmt.Sprintf("the database at %s:%d (--db-host, --db-port) broke the connection, or did not reply within 10s: %s", server.Host(), config.Port, dies.doing)
		if err == nil || !strings.HasPrefix(err.Error(), want) || isSetup(err) {
			t.Errorf("error %v\nwant %s…", err, want)
		}
		if !slices.Equal(committed, []bool{false, false}) {
			t.Errorf("committed %v", committed)
		}
		must(t, server.Restart())
		flags, err := server.Query(t.Context(), "SELECT netplan_success FROM multi_interface")
		if err != nil || len(flags) != 2 || flags[0][0] != "0" || flags[1][0] != "1" {
			t.Errorf("netplan_success is %v, error %v", flags, err)
		}
	}
	s := open(t, server)
	commits(t, s, rows(t, s), true, true)
}

func TestFollowAndCommitEndWithTheirContextThoughTheServerStandsStill(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	run(t, server, insertRow1)
	config := settings(server)
	config.ReplyTimeout = time.Hour
	s := openWith(t, config)
	w, end := followUntil(t, s, poll)
	read := w.next().Nodes["a"]
	must(t, server.Pause())
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := s.Commit(ctx, read, nil)
		failed <- err
	}()
	cancel()
	select {
	case err := <-failed:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Commit returned %v", err)
		}
		passes(t, err, "the database at "+address(server)+" was not waited for: begin a commit: context canceled")
	case <-time.After(patience):
		t.Fatal("Commit goes on")
	}
	ended := make(chan struct{})
	go func() { defer close(ended); end() }()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("Follow goes on")
	}
}

func TestAChangedPasswordTakesEffectWithoutARestart(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	run(t, server, insertRow1)
	config := settings(server)
	var password atomic.Value
	password.Store(server.Dispatcher().Password)
	config.Password = func() (string, error) { text, _ := password.Load().(string); return text, nil }
	w := follow(t, openWith(t, config), poll)
	w.next()
	run(t, server, "ALTER USER dispatcher IDENTIFIED BY 'other'; KILL USER dispatcher")
	want := "the database at " + address(server) + " denies the user dispatcher: set --db-user, and DB_PASSWORD or --db-password-file," +
		" to an account of it (Access denied for user 'dispatcher'@'127.0.0.1' (using password: YES))"
	for err := w.failure(); err.Error() != want || !isSetup(err); err = w.failure() {
		if isSetup(err) { // Before, the connection may break during a poll.
			t.Fatalf("error\n%v\nwant\n%s", err, want)
		}
	}
	password.Store("other")
	run(t, server, set("192.0.2.2"))
	w.sees(row1("192.0.2.2"))
}

// TestConnectionsAreAlikeWhateverTheServersDefaultsAre sets defaults with which careless statements would see what never
// was, one moment for ever, other times, or nothing.
func TestConnectionsAreAlikeWhateverTheServersDefaultsAre(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	run(t, server, "SET GLOBAL tx_isolation = 'READ-UNCOMMITTED'; SET GLOBAL tx_read_only = 1; SET GLOBAL time_zone = '+05:30'; SET GLOBAL autocommit = 0;"+
		" SET GLOBAL sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES'; SET GLOBAL init_connect = 'SET autocommit = 0';"+
		" SET GLOBAL character_set_server = 'latin1'; SET GLOBAL collation_connection = 'latin1_german1_ci'; SET GLOBAL sql_safe_updates = 1;"+
		" SET GLOBAL group_concat_max_len = 4; SET GLOBAL max_sort_length = 64; SET GLOBAL tmp_memory_table_size = 1024; SET GLOBAL div_precision_increment = 0;")
	table := controller(t, server)
	table.do("SET autocommit = 1; SET SESSION TRANSACTION READ WRITE; SET SESSION sql_safe_updates = 0; SET NAMES utf8mb4; " + strings.Replace(insertRow1, "'a'", "'ä'", 1) +
		"; INSERT INTO multi_interface (attached_node_name, updated_at) VALUES (CONCAT(REPEAT('x', 100), 'y'), '2026-01-02 03:04:05'), (CONCAT(REPEAT('x', 100), 'z'), '2026-01-02 03:04:05')")
	s := open(t, server)
	w := follow(t, s, poll)
	x := strings.Repeat("x", 100)
	w.sees("full\n" + `"` + x + `y" 2 - - - - - "0" - "2026-01-02 03:04:05" pending
"` + x + `z" 3 - - - - - "0" - "2026-01-02 03:04:05" pending
` + strings.Replace(row1("192.0.2.1"), `"a"`, `"ä"`, 1))
	w.seesNothing()

	transaction, err := table.db.BeginTx(t.Context(), nil)
	must(t, err)
	_, err = transaction.ExecContext(t.Context(), "SET SESSION sql_safe_updates = 0; "+set("192.0.2.2")+" WHERE id = 1")
	must(t, err)
	w.seesNothing() // It is not committed.
	must(t, transaction.Commit())
	w.sees(strings.Replace(row1("192.0.2.2"), `"a"`, `"ä"`, 1))
	commits(t, s, rows(t, s), true, true, true)
}
