package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"multinic.dev/dispatcher/internal/row"
	"multinic.dev/dispatcher/internal/store"
	"multinic.dev/testbed/mariadb"
)

// commits requires what Commit says of rows.
func commits(t *testing.T, s *store.Store, rows []row.Row, want ...bool) {
	t.Helper()
	committed, err := s.Commit(t.Context(), rows, nil)
	must(t, err)
	if !slices.Equal(committed, want) {
		t.Fatalf("committed %v, want %v", committed, want)
	}
}

// directions are the two in which a flag is flipped: from what it is to what it becomes.
var directions = []struct{ name, from, to string }{{"to 1", "0", "1"}, {"to 0", "1", "0"}}

// oneRow is a row with something in each column, and this flag.
func oneRow(flag string) string {
	return `DELETE FROM multi_interface; INSERT INTO multi_interface
    (id, attached_node_name, mac_address, netplan_success, ip_address, subnet_mask, gateway, dns, vlan, mtu, updated_at) VALUES
    (1, 'a', 'fa:16:3e:00:00:01', ` + flag + `, '192.0.2.10', '255.255.255.0', '192.0.2.1', '192.0.2.53', 7, 1400, '2026-01-02 03:04:05')`
}

// TestARowIsFlippedOnlyAsItWasRead changes each column of a row after it was read. The same row, read anew, is then
// flipped: so it is the change that was refused, and nothing else.
func TestARowIsFlippedOnlyAsItWasRead(t *testing.T) {
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("ALTER TABLE multi_interface ADD mtu INT, MODIFY dns VARBINARY(255), ADD deleted_at TIMESTAMP NULL DEFAULT NULL")
	s := open(t, server)
	for _, flip := range directions {
		t.Run(flip.name, func(t *testing.T) {
			table := writer{t, table.db}
			t.Run("unchanged", func(t *testing.T) {
				table.do(oneRow(flip.from))
				commits(t, s, rows(t, s), true)
				if flags := table.flags(); flags != flip.to {
					t.Errorf("netplan_success is %s", flags)
				}
			})
			for _, change := range []string{
				"attached_node_name = 'b'", "attached_node_name = 'A'", "attached_node_name = 'a '", "attached_node_name = ''", "attached_node_name = NULL",
				"mac_address = 'fa:16:3e:00:00:02'", "mac_address = 'FA:16:3E:00:00:01'", "mac_address = ''", "mac_address = NULL",
				"ip_address = '192.0.2.11'", "ip_address = '192.0.2.10 '", "ip_address = ''", "ip_address = NULL",
				"subnet_mask = '24'", "subnet_mask = '255.255.255.0 '", "subnet_mask = ''", "subnet_mask = NULL",
				"gateway = '192.0.2.2'", "gateway = ' 192.0.2.1'", "gateway = ''", "gateway = NULL",
				"dns = '192.0.2.54'", "dns = CONCAT(dns, X'00')", "dns = X'FF'", "dns = ''", "dns = NULL",
				"vlan = 8", "vlan = 0", "vlan = NULL", "mtu = 1401", "mtu = NULL",
				"updated_at = '2026-01-02 03:04:06'", "id = 2",
				"ip_address = gateway, gateway = '192.0.2.10'",
			} {
				t.Run(change, func(t *testing.T) {
					table.do(oneRow(flip.from))
					read := rows(t, s)
					if !strings.Contains(change, "updated_at") {
						change += ", updated_at = updated_at"
					}
					table.do("UPDATE multi_interface SET " + change)
					commits(t, s, read, false)
					if flags := table.flags(); flags != flip.from {
						t.Errorf("netplan_success is %s", flags)
					}
					commits(t, s, rows(t, s), true)
					if flags := table.flags(); flags != flip.to {
						t.Errorf("read anew, netplan_success is %s", flags)
					}
				})
			}
			t.Run("and back, from NULL", func(t *testing.T) {
				for _, column := range []string{"mac_address", "ip_address", "subnet_mask", "gateway", "dns", "vlan", "mtu", "updated_at"} {
					table.do(oneRow(flip.from) + "; UPDATE multi_interface SET updated_at = updated_at, " + column + " = NULL")
					read := rows(t, s)
					value := "''"
					if column == "vlan" || column == "mtu" {
						value = "0"
					}
					if column == "updated_at" {
						value = "'2026-01-02 03:04:06'"
					}
					table.do("UPDATE multi_interface SET updated_at = updated_at, " + column + " = " + value)
					commits(t, s, read, false)
					commits(t, s, rows(t, s), true)
				}
			})
			t.Run("deleted by a mark", func(t *testing.T) {
				table.do(oneRow(flip.from))
				read := rows(t, s)
				table.do("UPDATE multi_interface SET deleted_at = NOW(), updated_at = updated_at")
				commits(t, s, read, false)
				if there := rows(t, s); len(there) != 0 {
					t.Errorf("the table has %v", there)
				}
				table.do("UPDATE multi_interface SET deleted_at = NULL, updated_at = updated_at")
				commits(t, s, read, true)
			})
			t.Run("deleted", func(t *testing.T) {
				table.do(oneRow(flip.from))
				read := rows(t, s)
				table.do("DELETE FROM multi_interface")
				commits(t, s, read, false)
				table.do(oneRow(flip.from))
				commits(t, s, read, true)
			})
		})
	}
}

// TestAFlagIsFlippedOnlyIfItStillSaysWhatWasRead has somebody else change the flag after the row was read. Whatever is
// not 1 says the same: that the row waits.
func TestAFlagIsFlippedOnlyIfItStillSaysWhatWasRead(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("ALTER TABLE multi_interface ADD mtu INT")
	s := open(t, server)
	for _, flag := range []struct {
		read, now string
		flipped   bool
		becomes   string
	}{
		{"0", "0", true, "1"},
		{"NULL", "NULL", true, "1"},
		{"2", "2", true, "1"},
		{"-1", "-1", true, "1"},
		{"0", "NULL", true, "1"},
		{"NULL", "2", true, "1"},
		{"2", "-1", true, "1"},
		{"0", "1", false, "1"},
		{"NULL", "1", false, "1"},
		{"2", "1", false, "1"},
		{"1", "1", true, "0"},
		{"1", "0", false, "0"},
		{"1", "NULL", false, "NULL"},
		{"1", "2", false, "2"},
		{"1", "-1", false, "-1"},
	} {
		table.do(oneRow(flag.read))
		read := rows(t, s)
		table.do("UPDATE multi_interface SET updated_at = updated_at, netplan_success = " + flag.now)
		committed, err := s.Commit(t.Context(), read, nil)
		if flags := table.flags(); err != nil || committed[0] != flag.flipped || flags != flag.becomes {
			t.Errorf("from %s to %s: flipped %v, netplan_success is %s, error %v", flag.read, flag.now, committed[0], flags, err)
		}
	}
}

// TestEveryContentThatCanBeReadCanBeCommitted is about rows that no careful comparison may mistake for others: they
// must still be equal to themselves.
func TestEveryContentThatCanBeReadCanBeCommitted(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("ALTER TABLE multi_interface MODIFY mac_address VARBINARY(17)")
	s := open(t, server)
	for _, dns := range []string{"NULL", "''", "' '", "'a  '", `'\\'`, "''''", "'😀'", "'ÇDE'", "'\n\t'", "'NULL'", "'%_'", "'?'", "REPEAT('😀', 255)"} {
		for _, mac := range []string{"NULL", "''", "X'00'", "X'FF00FE'", "REPEAT(X'FF', 17)"} {
			table.do("DELETE FROM multi_interface; INSERT INTO multi_interface (attached_node_name, mac_address, dns) VALUES ('ñ', " + mac + ", " + dns + ")")
			for _, flag := range []string{"1", "0"} {
				committed, err := s.Commit(t.Context(), rows(t, s), nil)
				if err != nil || !slices.Equal(committed, []bool{true}) || table.flags() != flag {
					t.Errorf("dns %s, mac_address %s, to %s: committed %v, error %v", dns, mac, flag, committed, err)
				}
			}
		}
	}
}

func TestOfABatchExactlyThoseRowsAreFlippedThatAreAsTheyWereRead(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("INSERT INTO multi_interface (id, attached_node_name, vlan, netplan_success) VALUES" +
		" (1, 'a', 1, 0), (2, 'a', 2, NULL), (3, 'a', 3, 5), (4, 'a', 4, 0), (5, 'a', 5, 0), (6, 'b', 6, 0), (7, 'b', 7, 0)," +
		" (8, 'b', 8, 1), (9, 'b', 9, 1), (10, 'b', 10, 1), (11, 'b', 11, 1)")
	s := open(t, server)
	read := rows(t, s)
	table.do("UPDATE multi_interface SET vlan = 40 WHERE id IN (4, 9); DELETE FROM multi_interface WHERE id IN (5, 10);" +
		" UPDATE multi_interface SET netplan_success = 1 - netplan_success, updated_at = updated_at WHERE id IN (6, 11)")
	// In any order, and two of them twice.
	batch := []row.Row{
		read[6], read[0], read[8], read[1], read[7], read[2], read[3], read[4], read[5], read[9], read[10], read[0], read[7],
	}
	commits(t, s, batch, true, true, false, true, true, true, false, false, false, false, false, false, false)
	if flags := table.flags(); flags != "1 1 1 0 1 1 0 1 0" {
		t.Errorf("netplan_success is %s", flags)
	}
	commits(t, s, batch, slices.Repeat([]bool{false}, len(batch))...)
	commits(t, s, nil)
	commits(t, s, []row.Row{})
	if flags := table.flags(); flags != "1 1 1 0 1 1 0 1 0" {
		t.Errorf("once more, netplan_success is %s", flags)
	}
}

// TestOfSeveralReadingsOfARowOnlyTheLastIsFlipped gives one row several times, as it was at different times.
func TestOfSeveralReadingsOfARowOnlyTheLastIsFlipped(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	s := open(t, server)
	for _, flip := range directions {
		table.do("DELETE FROM multi_interface; INSERT INTO multi_interface (id, attached_node_name, netplan_success) VALUES (1, 'a', " + flip.from + ")")
		before := rows(t, s)[0]
		table.do("UPDATE multi_interface SET vlan = 5")
		after := rows(t, s)[0]
		opposite := after
		opposite.Committed = !after.Committed
		commits(t, s, []row.Row{before, opposite, after, before, after, opposite}, false, false, true, false, false, false)
		if flags := table.flags(); flags != flip.to {
			t.Errorf("%s: netplan_success is %s", flip.name, flags)
		}
	}
}

// TestABatchOfThousandsIsFlippedWhole is about more rows than go into one statement, some of which are not to be flipped.
func TestABatchOfThousandsIsFlippedWhole(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	const thousands = 3000
	table.do(fmt.Sprintf("INSERT INTO multi_interface (id, attached_node_name, netplan_success, updated_at)"+
		" SELECT seq, seq MOD 10, IF(seq MOD 3 = 2, NULL, seq MOD 3), '2026-01-02 03:04:05' FROM seq_1_to_%d", thousands))
	s := open(t, server)
	read := rows(t, s)
	table.do("UPDATE multi_interface SET vlan = 5 WHERE id MOD 7 = 0")
	defer table.hold(1000)()
	asked := 0
	committed, err := s.Commit(t.Context(), read, func(rows []row.Row) []bool {
		asked++
		confirmed := make([]bool, 0, len(rows))
		for _, one := range rows {
			confirmed = append(confirmed, one.ID%11 != 0)
		}

		return confirmed
	})
	must(t, err)
	for i, one := range read {
		if want := one.ID%7 != 0 && one.ID%11 != 0 && one.ID != 1000; committed[i] != want {
			t.Fatalf("of row %d it is said that it was flipped: %v", one.ID, committed[i])
		}
	}
	if asked != 1 {
		t.Errorf("it was asked %d times to confirm", asked)
	}
	// Row by row, from the table itself.
	const flipped = "id MOD 7 <> 0 AND id MOD 11 <> 0 AND id <> 1000"
	if got := table.ask("SELECT COUNT(*) FROM multi_interface WHERE" +
		" NOT (netplan_success <=> IF(" + flipped + ", id MOD 3 <> 1, IF(id MOD 3 = 2, NULL, id MOD 3)))"); got != "0" {
		t.Errorf("%s rows have another flag than they should", got)
	}
	if got := table.ask("SELECT COUNT(*) FROM multi_interface WHERE " + flipped); got != "2337" {
		t.Errorf("%s rows should have been flipped", got)
	}
}

// TestABatchCostsAFewStatementsHoweverManyItsRowsAre has all that is sent for a batch.
func TestABatchCostsAFewStatementsHoweverManyItsRowsAre(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	controller(t, server).do("INSERT INTO multi_interface (attached_node_name, netplan_success) SELECT 'a', seq MOD 2 FROM seq_1_to_500")
	config := settings(server)
	var mu sync.Mutex // guards sent
	var sent []string
	config.Port = relay(t, server.Port(), func(statement string) string {
		mu.Lock()
		defer mu.Unlock()
		words, _, _ := strings.Cut(statement, " IN (")
		sent = append(sent, words)

		return statement
	})
	s := openWith(t, config)
	must(t, s.Prepare(t.Context()))
	read := rows(t, s)
	mu.Lock()
	sent = nil
	mu.Unlock()
	commits(t, s, read, slices.Repeat([]bool{true}, len(read))...)
	mu.Lock()
	defer mu.Unlock()
	for i, want := range []string{
		"SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "START TRANSACTION", "SELECT CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)", "SELECT m.id, ",
		"UPDATE multi_interface SET netplan_success = 0 WHERE id", "UPDATE multi_interface SET netplan_success = 1 WHERE id", "COMMIT",
	} {
		if len(sent) != 7 || !strings.HasPrefix(sent[i], want) {
			t.Fatalf("sent\n%s\nwant in its place\n%s", strings.Join(sent, "\n"), want)
		}
	}
}

// TestARowIsNotFlippedInPlaceOfAnotherOfItsID is about a table whose ids are no key: what sets a row by its id would set both.
func TestARowIsNotFlippedInPlaceOfAnotherOfItsID(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("ALTER TABLE multi_interface MODIFY id INT, DROP PRIMARY KEY;" +
		" INSERT INTO multi_interface (id, attached_node_name) VALUES (1, 'a'), (1, 'b'), (2, 'c')")
	s := open(t, server)
	read := rows(t, s)
	committed, err := s.Commit(t.Context(), read[:1], nil)
	const want = "the table multi_interface has 2 rows for 1 ids between 1 and 1: make id its primary key"
	if flags := table.flags(); err == nil || err.Error() != want || !isSetup(err) || flags != "0 0 0" || committed[0] {
		t.Errorf("committed %v, netplan_success is %s, error\n%v\nwant\n%s", committed, flags, err, want)
	}
	commits(t, s, read[2:], true) // the control
}

func TestARowIsNotFlippedForAnotherOfTheSameContent(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	s := open(t, server)
	for _, flip := range directions {
		insert := "INSERT INTO multi_interface (attached_node_name, netplan_success, updated_at) VALUES ('a', " + flip.from + ", '2026-01-02 03:04:05')"
		table.do("TRUNCATE multi_interface; " + insert)
		read := rows(t, s)
		table.do("DELETE FROM multi_interface; " + insert)
		commits(t, s, read, false)
		commits(t, s, rows(t, s), true)
		if got := table.ask("SELECT CONCAT(id, ': ', netplan_success) FROM multi_interface"); got != "2: "+flip.to {
			t.Errorf("the rows are %s", got)
		}
	}
}

func TestARowThatChangedThereAndBackIsNotCommittedWhereUpdatedAtSaysSo(t *testing.T) {
	server := mariadb.Start(t)
	table := controller(t, server)
	s := open(t, server)
	thereAndBack := func(t *testing.T, at string) []row.Row {
		t.Helper()
		table.do("DELETE FROM multi_interface; SET timestamp = UNIX_TIMESTAMP('2026-01-02 03:04:05');" +
			" INSERT INTO multi_interface (id, attached_node_name, ip_address) VALUES (1, 'a', '192.0.2.10'); SET timestamp = DEFAULT")
		read := rows(t, s)
		for _, address := range []string{"192.0.2.11", "192.0.2.10"} {
			table.do(fmt.Sprintf("SET timestamp = UNIX_TIMESTAMP('%s'); UPDATE multi_interface SET ip_address = '%s'; SET timestamp = DEFAULT", at, address))
		}

		return read
	}
	t.Run("a second later", func(t *testing.T) {
		read := thereAndBack(t, "2026-01-02 03:04:06")
		commits(t, s, read, false)
		if flags := table.flags(); flags != "0" {
			t.Errorf("netplan_success is %s", flags)
		}
		commits(t, s, rows(t, s), true)
	})
	// Nothing in the row tells that it was ever otherwise. That is no lie: it says what was verified.
	t.Run("within the second of its last change", func(t *testing.T) {
		commits(t, s, thereAndBack(t, "2026-01-02 03:04:05"), true)
	})
	t.Run("within that second, in a table that counts its parts", func(t *testing.T) {
		table.do("ALTER TABLE multi_interface MODIFY updated_at TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)")
		commits(t, s, thereAndBack(t, "2026-01-02 03:04:05.000001"), false)
	})
}
