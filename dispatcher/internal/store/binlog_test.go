package store_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"multinic.dev/dispatcher/internal/row"
	"multinic.dev/testbed/mariadb"
)

func TestACommitWorksWithABinaryLogOfEachFormat(t *testing.T) {
	server := mariadb.Start(t, mariadb.WithBinlog())
	for _, format := range []string{"ROW", "MIXED", "STATEMENT"} {
		t.Run(format, func(t *testing.T) {
			run(t, server, "SET GLOBAL binlog_format = "+format)
			admin := administrator(t, server)
			admin.do("DELETE FROM multi_interface; INSERT INTO multi_interface (id, attached_node_name, vlan, netplan_success) VALUES" +
				" (1, 'a', 0, 0), (2, 'a', 0, 0), (3, 'a', NULL, NULL), (4, 'a', 0, 1), (5, 'a', 0, 1), (6, 'a', NULL, 1)")
			s := open(t, server)
			must(t, s.Prepare(t.Context()))
			read := rows(t, s)
			admin.do("UPDATE multi_interface SET vlan = 5, updated_at = updated_at WHERE id IN (2, 5)")
			commits(t, s, append(read, read[0], read[3]), true, false, true, true, false, true, false, false)
			if flags := admin.flags(); flags != "1 0 1 0 1 0" {
				t.Errorf("netplan_success is %s", flags)
			}
		})
	}
}

// TestALogOfStatementsMakesTheSameTableElsewhere is about statements that a replica executes again, and later: asked for the
// time there, or for what it does not have, they would set something else.
func TestALogOfStatementsMakesTheSameTableElsewhere(t *testing.T) {
	t.Parallel()
	server, replica := mariadb.Start(t, mariadb.WithBinlog()), mariadb.Start(t)
	const insert = "INSERT INTO multi_interface (id, attached_node_name, netplan_success, updated_at) SELECT seq, 'a', seq MOD 2, '2026-01-02 03:04:05' FROM seq_1_to_1200"
	run(t, server, "SET GLOBAL binlog_format = STATEMENT; "+insert+"; FLUSH BINARY LOGS")
	run(t, replica, insert)
	s := open(t, server)
	read := rows(t, s)
	table := controller(t, server)
	release := table.hold(5)
	committed, err := s.Commit(t.Context(), read, func(rows []row.Row) []bool {
		confirmed := make([]bool, 0, len(rows))
		for _, one := range rows {
			confirmed = append(confirmed, one.ID%7 != 0)
		}

		return confirmed
	})
	release()
	must(t, err)
	for i, one := range read {
		if want := one.ID != 5 && one.ID%7 != 0; committed[i] != want {
			t.Fatalf("of row %d it is said that it was flipped: %v", one.ID, committed[i])
		}
	}

	log, err := server.Query(t.Context(), "SHOW BINLOG EVENTS IN 'binlog.000002'")
	must(t, err)
	statement := regexp.MustCompile(`^use .multinic.; UPDATE multi_interface SET netplan_success = [01] WHERE id IN \([0-9, ]+\)$`)
	statements := 0
	for _, event := range log {
		if text := event[len(event)-1]; strings.Contains(text, "multi_interface") {
			statements++
			if !statement.MatchString(text) {
				t.Errorf("the log has %s", text)
			}
		}
	}
	if statements < 4 { // for each direction two parts, or more where the locked row was in the way
		t.Errorf("the log has %d statements", statements)
	}

	const whole = "SELECT MD5(GROUP_CONCAT(id, ' ', netplan_success, ' ', updated_at ORDER BY id)) FROM multi_interface"
	content := func(of *mariadb.Server) string {
		one := administrator(t, of)
		one.do("SET GLOBAL group_concat_max_len = 1000000")

		return administrator(t, of).ask(whole) // a new connection follows the setting
	}
	if content(replica) == content(server) {
		t.Error("before the log is executed again, the tables are the same")
	}
	root := server.Root()
	run(t, replica, fmt.Sprintf("SET GLOBAL server_id = 2; CHANGE MASTER TO MASTER_HOST = '%s', MASTER_PORT = %d, MASTER_USER = '%s', MASTER_PASSWORD = '%s',"+
		" MASTER_LOG_FILE = 'binlog.000002', MASTER_LOG_POS = 4; START SLAVE", server.Host(), server.Port(), root.User, root.Password))
	end, err := server.Query(t.Context(), "SHOW MASTER STATUS")
	must(t, err)
	waited, err := replica.Query(t.Context(), fmt.Sprintf("SELECT MASTER_POS_WAIT('%s', %s, %d)", end[0][0], end[0][1], int(patience.Seconds())))
	if err != nil || waited[0][0] == "NULL" || waited[0][0] == "-1" {
		t.Fatalf("the log was not executed again: %v, error %v", waited, err)
	}
	if content(replica) != content(server) {
		t.Error("where the log was executed again, the table is another")
	}
}

func TestALogThatBecomesOneOfStatementsIsNoticed(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t, mariadb.WithBinlog())
	run(t, server, insertRow1)
	s := open(t, server)
	read := rows(t, s)
	run(t, server, "SET GLOBAL binlog_format = STATEMENT; KILL USER dispatcher") // new connections follow the new format
	committed, err := s.Commit(t.Context(), read, nil)
	if err == nil || !strings.Contains(err.Error(), "BINLOG_FORMAT = STATEMENT") || isSetup(err) || !slices.Equal(committed, []bool{false}) {
		t.Errorf("committed %v, error %v", committed, err)
	}
	commits(t, s, read, true)
}
