package store_test

import (
	"fmt"
	"slices"
	"strings"
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

// oneRow is a row with something in each column.
const oneRow = `DELETE FROM multi_interface; INSERT INTO multi_interface
    (id, attached_node_name, mac_address, netplan_success, ip_address, subnet_mask, gateway, dns, vlan, mtu, updated_at) VALUES
    (1, 'a', 'fa:16:3e:00:00:01', 0, '192.0.2.10', '255.255.255.0', '192.0.2.1', '192.0.2.53', 7, 1400, '2026-01-02 03:04:05')`

// TestARowIsCommittedOnlyAsItWasRead changes each column of a row after it was read. The same row, read anew, is then
// committed: so it is the change that was refused, and nothing else.
func TestARowIsCommittedOnlyAsItWasRead(t *testing.T) {
	onlyAsItWasRead(t, oneRow, "0", "1")
}

// TestAFlagIsTakenBackOnlyAsItWasRead is the same with a row that is committed.
func TestAFlagIsTakenBackOnlyAsItWasRead(t *testing.T) {
	onlyAsItWasRead(t, strings.Replace(oneRow, "'fa:16:3e:00:00:01', 0,", "'fa:16:3e:00:00:01', 1,", 1), "1", "0")
}

func TestAFlagThatSomebodyElseHasTurnedOverIsLeftAlone(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("INSERT INTO multi_interface (id, attached_node_name, netplan_success) VALUES (1, 'a', 1), (2, 'a', 1), (3, 'a', 0)")
	s := open(t, server)
	read := rows(t, s)
	table.do("UPDATE multi_interface SET netplan_success = 5, updated_at = updated_at WHERE id = 1")
	commits(t, s, read, false, true, true)
	if flags := table.flags(); flags != "5 0 1" {
		t.Errorf("netplan_success is %s", flags)
	}
	commits(t, s, rows(t, s), true, true, true)
	if flags := table.flags(); flags != "1 1 0" {
		t.Errorf("read anew, netplan_success is %s", flags)
	}
}

// onlyAsItWasRead inserts a row with a flag, and expects it to be turned over only while it is as it was read.
func onlyAsItWasRead(t *testing.T, oneRow, flag, turned string) {
	t.Helper()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("ALTER TABLE multi_interface ADD mtu INT, MODIFY dns VARBINARY(255), ADD deleted_at TIMESTAMP NULL DEFAULT NULL")
	s := open(t, server)
	t.Run("unchanged", func(t *testing.T) {
		table.do(oneRow)
		commits(t, s, rows(t, s), true)
		if flags := table.flags(); flags != turned {
			t.Errorf("netplan_success is %s", flags)
		}
	})
	for _, change := range []string{
		"attached_node_name = 'b'", "attached_node_name = 'A'", "attached_node_name = 'a '",
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
			table.do(oneRow)
			read := rows(t, s)
			if !strings.Contains(change, "updated_at") {
				table.do("UPDATE multi_interface SET updated_at = updated_at")
				change += ", updated_at = updated_at"
			}
			table.do("UPDATE multi_interface SET " + change)
			commits(t, s, read, false)
			if flags := table.flags(); flags != flag {
				t.Errorf("netplan_success is %s", flags)
			}
			commits(t, s, rows(t, s), true)
			if flags := table.flags(); flags != turned {
				t.Errorf("read anew, netplan_success is %s", flags)
			}
		})
	}
	t.Run("and back, from NULL", func(t *testing.T) {
		for _, column := range []string{"mac_address", "ip_address", "subnet_mask", "gateway", "dns", "vlan", "mtu", "updated_at"} {
			table.do(oneRow + "; UPDATE multi_interface SET updated_at = updated_at, " + column + " = NULL")
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
		table.do(oneRow)
		read := rows(t, s)
		table.do("UPDATE multi_interface SET deleted_at = NOW(), updated_at = updated_at")
		commits(t, s, read, false)
		if there := rows(t, s); len(there) != 0 {
			t.Errorf("the table has %v", there)
		}
		table.do("UPDATE multi_interface SET deleted_at = NULL, updated_at = updated_at")
		commits(t, s, read, true)
	})
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
			committed, err := s.Commit(t.Context(), rows(t, s), nil)
			if err != nil || !slices.Equal(committed, []bool{true}) {
				t.Errorf("dns %s, mac_address %s: committed %v, error %v", dns, mac, committed, err)
			}
		}
	}
}

func TestOfABatchExactlyThoseRowsAreCommittedThatAreAsTheyWereRead(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("INSERT INTO multi_interface (id, attached_node_name, vlan, netplan_success) VALUES" +
		" (1, 'a', 1, 0), (2, 'a', 2, NULL), (3, 'a', 3, 5), (4, 'a', 4, 0), (5, 'a', 5, 0), (6, 'b', 6, 0), (7, 'b', 7, 0)")
	s := open(t, server)
	read := rows(t, s)
	table.do("UPDATE multi_interface SET vlan = 40 WHERE id = 4; DELETE FROM multi_interface WHERE id = 5;" +
		" UPDATE multi_interface SET netplan_success = 1, updated_at = updated_at WHERE id = 6")
	// In any order, and one of them twice: the second time it is 1 already.
	batch := []row.Row{read[6], read[0], read[1], read[2], read[3], read[4], read[5], read[0]}
	commits(t, s, batch, true, true, true, true, false, false, false, false)
	if flags := table.flags(); flags != "1 1 1 0 1 1" {
		t.Errorf("netplan_success is %s", flags)
	}
	commits(t, s, batch, false, false, false, false, false, false, false, false)
	commits(t, s, nil)
	for i, one := range rows(t, s) {
		if want := i != 3; one.Committed != want {
			t.Errorf("%s", showRow(one))
		}
	}
}

func TestARowIsNotCommittedForAnotherOfTheSameContent(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	const insert = "INSERT INTO multi_interface (attached_node_name, updated_at) VALUES ('a', '2026-01-02 03:04:05')"
	table.do(insert)
	s := open(t, server)
	read := rows(t, s)
	table.do("DELETE FROM multi_interface; " + insert)
	commits(t, s, read, false)
	commits(t, s, rows(t, s), true)
	if got := table.ask("SELECT CONCAT(id, ': ', netplan_success) FROM multi_interface"); got != "2: 1" {
		t.Errorf("the rows are %s", got)
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
