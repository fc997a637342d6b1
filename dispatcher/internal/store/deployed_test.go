package store_test

import (
	"strings"
	"testing"

	"multinic.dev/dispatcher/internal/row"
	"multinic.dev/testbed/mariadb"
)

// TestDeployedTablesAreReadAndCommittedAsTheyAre has, for each way in which deployed tables differ, what is read of two
// rows, and what of them is committed after one of them was changed.
func TestDeployedTablesAreReadAndCommittedAsTheyAre(t *testing.T) {
	server := mariadb.Start(t)
	admin := administrator(t, server)
	s := open(t, server)
	const insert = "; INSERT INTO multi_interface (id, attached_node_name, mac_address, ip_address, subnet_mask, gateway, dns, vlan, updated_at) VALUES" +
		" (1, 'näme-😀', 'fa:16:3e:00:00:01', '192.0.2.10', '24', '192.0.2.1', 'é ', 7, '2026-01-02 03:04:05')," +
		" (2, 'b', NULL, '', NULL, '', NULL, NULL, '2026-01-02 03:04:05')" //nolint:dupword // It is SQL.
	const plain = `"b" 2 - "" - "" - - - "2026-01-02 03:04:05" pending
"näme-😀" 1 "fa:16:3e:00:00:01" "192.0.2.10" "24" "192.0.2.1" "é " "7" - "2026-01-02 03:04:05" pending`
	for _, deployed := range []struct{ name, table, change, want string }{
		{"as ever", insert, "vlan = 8", plain},
		{
			"other names", insert + "; ALTER TABLE multi_interface CHANGE mac_address macaddress VARCHAR(17), CHANGE ip_address address VARCHAR(15)," +
				" CHANGE updated_at modified_at TIMESTAMP NULL", "address = '192.0.2.11'", plain,
		},
		{
			"names in capitals", insert + "; ALTER TABLE multi_interface CHANGE mac_address MAC_ADDRESS VARCHAR(17), CHANGE dns Dns VARCHAR(255)", "dns = 'É '", plain,
		},
		{
			"more columns, also one named like a word of our own", insert + "; ALTER TABLE multi_interface ADD node INT DEFAULT 3, ADD m INT, ADD s INT, ADD digest INT",
			"vlan = 8", plain,
		},
		{"a flag of one digit", insert + "; ALTER TABLE multi_interface MODIFY netplan_success TINYINT(1) NOT NULL DEFAULT 0", "vlan = 8", plain},
		{
			"wide columns", insert + "; ALTER TABLE multi_interface MODIFY attached_node_name TEXT, MODIFY mac_address LONGTEXT, MODIFY ip_address MEDIUMTEXT," +
				" MODIFY dns LONGBLOB, MODIFY vlan BIGINT", "dns = CONCAT(dns, 'x')", plain,
		},
		{
			"latin1 but for what it cannot hold", insert + "; ALTER TABLE multi_interface MODIFY mac_address VARCHAR(17) CHARACTER SET latin1," +
				" MODIFY dns VARCHAR(255) CHARACTER SET latin1, MODIFY gateway VARCHAR(15) CHARACTER SET ascii", "dns = 'è '", plain,
		},
		{
			"utf8mb3 but for what it cannot hold", insert + "; ALTER TABLE multi_interface MODIFY dns VARCHAR(255) CHARACTER SET utf8mb3 COLLATE utf8mb3_unicode_ci," +
				" MODIFY mac_address VARCHAR(17) CHARACTER SET utf8mb3", "dns = 'é'", plain,
		},
		{"utf16", insert + "; ALTER TABLE multi_interface CONVERT TO CHARACTER SET utf16", "dns = 'E '", plain},
		{
			"ucs2 but for what it cannot hold", insert + "; ALTER TABLE multi_interface MODIFY dns VARCHAR(255) CHARACTER SET ucs2, MODIFY gateway VARCHAR(15) CHARACTER SET ucs2," +
				" MODIFY mac_address TEXT CHARACTER SET ucs2", "mac_address = 'FA:16:3E:00:00:01'", plain,
		},
		{"utf32", insert + "; ALTER TABLE multi_interface CONVERT TO CHARACTER SET utf32", "gateway = NULL", plain},
		{"a collation to which all is alike", insert + "; ALTER TABLE multi_interface CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci", "dns = 'É'", plain},
		{
			"addresses that are no text", insert + "; UPDATE multi_interface SET ip_address = NULL, updated_at = updated_at WHERE id = 2;" +
				" ALTER TABLE multi_interface MODIFY ip_address INET4, ADD mtu SMALLINT UNSIGNED DEFAULT 9000", "ip_address = '192.0.2.11'",
			`"b" 2 - - - "" - - "9000" "2026-01-02 03:04:05" pending
"näme-😀" 1 "fa:16:3e:00:00:01" "192.0.2.10" "24" "192.0.2.1" "é " "7" "9000" "2026-01-02 03:04:05" pending`,
		},
		{
			"an MTU", insert + "; ALTER TABLE multi_interface ADD mtu INT; UPDATE multi_interface SET mtu = 1400, updated_at = updated_at WHERE id = 1", "mtu = 1500",
			strings.Replace(plain, `"7" -`, `"7" "1400"`, 1),
		},
		{
			"no time of change", insert + "; ALTER TABLE multi_interface DROP updated_at", "vlan = 8",
			strings.ReplaceAll(plain, `"2026-01-02 03:04:05"`, "-"),
		},
		{
			"a time of change in microseconds", insert + "; ALTER TABLE multi_interface MODIFY updated_at DATETIME(6)", "updated_at = '2026-01-02 03:04:05.000001'",
			strings.ReplaceAll(plain, `03:04:05"`, `03:04:05.000000"`),
		},
		{
			"rows that are deleted by a mark", insert + "; ALTER TABLE multi_interface ADD deleted_at DATETIME; INSERT INTO multi_interface" +
				" (id, attached_node_name, netplan_success, deleted_at) VALUES (3, 'b', 1, '2026-01-02 03:04:05')", "deleted_at = NOW()", plain,
		},
		{
			"a row that is deleted by nothing", insert + "; ALTER TABLE multi_interface ADD deleted_at INT", "vlan = 8", plain,
		},
		{
			"subnets", insert + "; ALTER TABLE multi_interface DROP subnet_mask, ADD subnet_id INT; UPDATE multi_interface SET subnet_id = id, updated_at = updated_at;" +
				" CREATE TABLE multi_subnet (subnet_id INT, cidr VARCHAR(20) CHARACTER SET latin1);" +
				" INSERT INTO multi_subnet VALUES (1, '192.0.2.0/24'), (3, '198.51.100.0/25'), (4, NULL); GRANT SELECT ON multi_subnet TO dispatcher", "subnet_id = 3", plain,
		},
		{
			"subnets by id, in utf16", insert + "; ALTER TABLE multi_interface DROP subnet_mask, ADD subnet_id VARCHAR(36);" +
				" UPDATE multi_interface SET subnet_id = CONCAT('subnet ', id), updated_at = updated_at;" +
				" CREATE TABLE multi_subnet (id VARCHAR(36) PRIMARY KEY, cidr TEXT) CHARACTER SET utf16;" +
				" INSERT INTO multi_subnet VALUES ('subnet 1', '192.0.2.0/24'), ('subnet 2', NULL); GRANT SELECT ON multi_subnet TO dispatcher", "subnet_id = NULL", plain,
		},
		{
			"subnets of another collation", insert + "; ALTER TABLE multi_interface DROP subnet_mask, ADD subnet_id CHAR(36) COLLATE utf8mb4_bin;" +
				" UPDATE multi_interface SET subnet_id = CONCAT('subnet ', id), updated_at = updated_at;" +
				" CREATE TABLE multi_subnet (id CHAR(36) COLLATE utf8mb4_unicode_ci PRIMARY KEY, cidr TEXT);" +
				" INSERT INTO multi_subnet VALUES ('subnet 1', '192.0.2.0/24'); GRANT SELECT ON multi_subnet TO dispatcher", "subnet_id = NULL", plain,
		},
		{
			"two subnets of one subnet_id", insert + "; ALTER TABLE multi_interface DROP subnet_mask, ADD subnet_id INT; UPDATE multi_interface SET subnet_id = id, updated_at = updated_at;" +
				" CREATE TABLE multi_subnet (subnet_id INT, cidr VARCHAR(20)); INSERT INTO multi_subnet VALUES (1, '192.0.2.0/24'), (1, '192.0.2.0/24');" +
				" GRANT SELECT ON multi_subnet TO dispatcher", "subnet_id = NULL",
			strings.Replace(plain, `"24"`, `"2 subnets have this subnet_id"`, 1),
		},
	} {
		t.Run(deployed.name, func(t *testing.T) {
			admin := writer{t, admin.db}
			admin.do("DROP TABLE IF EXISTS multi_interface, multi_subnet; " + mariadb.Table + deployed.table)
			must(t, s.Prepare(t.Context()))
			if got := strings.TrimPrefix(show(picture(t, s)), "full\n"); got != deployed.want {
				t.Fatalf("the rows are\n%s\nwant\n%s", got, deployed.want)
			}
			w, end := followUntil(t, s, poll)
			defer end()
			w.next()
			w.seesNothing()

			read := rows(t, s)
			change := "UPDATE multi_interface SET " + deployed.change
			// It is the change itself that must be noticed, not the time of it.
			const times = "SELECT GROUP_CONCAT(column_name) FROM information_schema.columns WHERE table_schema = DATABASE()" +
				" AND table_name = 'multi_interface' AND column_name IN ('updated_at', 'modified_at')"
			if kept := admin.ask(times); kept != "NULL" && !strings.Contains(deployed.change, kept) {
				change += ", " + kept + " = " + kept
			}
			admin.do(change + " WHERE id = 1")
			changed := w.next()
			if got := show(changed); !strings.Contains(got, "näme-😀") {
				t.Errorf("the change is\n%s", got)
			}
			commits(t, s, read, true, false)
			if flags := admin.ask("SELECT GROUP_CONCAT(netplan_success ORDER BY id) FROM multi_interface WHERE id < 3"); flags != "0,1" {
				t.Errorf("netplan_success is %s", flags)
			}
			if node := changed.Nodes["näme-😀"]; len(node) > 0 { // A row that is deleted now has nothing to be set.
				commits(t, s, node, true)
			}
			for _, one := range rows(t, s) {
				if !one.Committed {
					t.Errorf("not committed: %s", showRow(one))
				}
				commits(t, s, []row.Row{one}, true)
			}
			if left := admin.ask("SELECT COUNT(*) FROM multi_interface WHERE id < 3 AND netplan_success <> 0"); left != "0" {
				t.Errorf("%s rows were not set back to 0", left)
			}
		})
	}
}

func TestATableBehindAViewIsReadAndCommittedLikeTheTable(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	admin := administrator(t, server)
	admin.do("RENAME TABLE multi_interface TO kept; CREATE VIEW multi_interface AS" +
		" SELECT id, attached_node_name, mac_address, netplan_success, ip_address, subnet_mask, gateway, dns, vlan, updated_at FROM kept WHERE vlan < 10;" +
		" INSERT INTO kept (attached_node_name, vlan, netplan_success) VALUES ('a', 1, 0), ('a', 2, 1), ('a', 3, 0), ('a', 4, 0), ('a', 50, 0)")
	s := open(t, server)
	read := rows(t, s)
	admin.do("UPDATE kept SET vlan = 5 WHERE id = 3")
	release := admin.hold(4)
	commits(t, s, read, true, true, false, false)
	release()
	commits(t, s, rows(t, s), true, true, true, true)
	if flags := admin.ask("SELECT GROUP_CONCAT(netplan_success ORDER BY id) FROM kept"); flags != "0,1,1,1,0" {
		t.Errorf("netplan_success is %s", flags)
	}
}
