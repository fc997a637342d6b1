package store_test

import (
	"slices"
	"strings"
	"testing"

	"multinic.dev/testbed/mariadb"
)

func TestACommitWorksWithABinaryLogOfEachFormat(t *testing.T) {
	server := mariadb.Start(t, mariadb.WithBinlog())
	for _, format := range []string{"ROW", "MIXED", "STATEMENT"} {
		t.Run(format, func(t *testing.T) {
			run(t, server, "SET GLOBAL binlog_format = "+format)
			admin := administrator(t, server)
			admin.do("DELETE FROM multi_interface; INSERT INTO multi_interface (id, attached_node_name, vlan) VALUES (1, 'a', 0), (2, 'a', 0), (3, 'a', NULL)")
			s := open(t, server)
			must(t, s.Prepare(t.Context()))
			read := rows(t, s)
			admin.do("UPDATE multi_interface SET vlan = 5, updated_at = updated_at WHERE id = 2")
			commits(t, s, append(read, read[0]), true, false, true, false)
			if flags := admin.flags(); flags != "1 0 1" {
				t.Errorf("netplan_success is %s", flags)
			}
		})
	}
}

// TestALogOfStatementsSaysWhichRowsWereSet is about statements that a replica executes again, and later: asked for the
// time there, they would set nothing.
func TestALogOfStatementsSaysWhichRowsWereSet(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t, mariadb.WithBinlog())
	run(t, server, "SET GLOBAL binlog_format = STATEMENT; "+insertRow1+"; FLUSH BINARY LOGS")
	s := open(t, server)
	commits(t, s, rows(t, s), true)
	log, err := server.Query(t.Context(), "SHOW BINLOG EVENTS IN 'binlog.000002'")
	must(t, err)
	var statements []string
	for _, event := range log {
		if text := event[len(event)-1]; strings.Contains(text, "multi_interface") {
			statements = append(statements, text)
		}
	}
	want := []string{"use `multinic`; UPDATE multi_interface SET netplan_success = 1 WHERE id = 1"}
	if !slices.Equal(statements, want) {
		t.Errorf("the log has\n%s\nwant\n%s", strings.Join(statements, "\n"), strings.Join(want, "\n"))
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
