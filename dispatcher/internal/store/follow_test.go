package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"multinic.dev/testbed/mariadb"
)

const poll = 20 * time.Millisecond

// sixRows is a table of four rows on three nodes, and two that belong to none.
//
//nolint:dupword // It is SQL.
const sixRows = `INSERT INTO multi_interface
    (id, attached_node_name, mac_address, netplan_success, ip_address, subnet_mask, gateway, dns, vlan, updated_at) VALUES
    (1, 'a', 'fa:16:3e:00:00:01', 0, '192.0.2.10', '255.255.255.0', '192.0.2.1', '192.0.2.53', 0, '2026-01-02 03:04:05'),
    (2, 'b', 'fa:16:3e:00:00:02', 1, '192.0.2.20', '24', NULL, '', NULL, '2026-01-02 03:04:06'),
    (3, 'a', NULL, NULL, '', NULL, '', NULL, 100, NULL),
    (4, NULL, 'fa:16:3e:00:00:04', 0, '192.0.2.40', '24', NULL, NULL, 0, '2026-01-02 03:04:05'),
    (5, '', 'fa:16:3e:00:00:05', 0, '192.0.2.50', '24', NULL, NULL, 0, '2026-01-02 03:04:05'),
    (6, REPEAT('n', 255), NULL, 7, NULL, NULL, NULL, NULL, NULL, '2026-01-02 03:04:05')`

func TestTheFirstPictureHasEveryRowOfEveryNodeAndLaterOnesWhatChanged(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("ALTER TABLE multi_interface MODIFY updated_at TIMESTAMP NULL DEFAULT NULL; " + sixRows)
	w := follow(t, open(t, server), poll)
	w.sees(`full
"" 4 "fa:16:3e:00:00:04" "192.0.2.40" "24" - - "0" - "2026-01-02 03:04:05" pending
"" 5 "fa:16:3e:00:00:05" "192.0.2.50" "24" - - "0" - "2026-01-02 03:04:05" pending
"a" 1 "fa:16:3e:00:00:01" "192.0.2.10" "255.255.255.0" "192.0.2.1" "192.0.2.53" "0" - "2026-01-02 03:04:05" pending
"a" 3 - "" - "" - "100" - - pending
"b" 2 "fa:16:3e:00:00:02" "192.0.2.20" "24" - "" - - "2026-01-02 03:04:06" committed
"` + strings.Repeat("n", 255) + `" 6 - - - - - - - "2026-01-02 03:04:05" pending`)
	w.seesNothing()

	table.do("BEGIN; DELETE FROM multi_interface WHERE id > 3; UPDATE multi_interface SET mac_address = NULL WHERE id = 2; COMMIT")
	w.sees(fmt.Sprintf(`"" has no rows
"b" 2 - "192.0.2.20" "24" - "" - - "2026-01-02 03:04:06" committed
%q has no rows`, strings.Repeat("n", 255)))

	for _, change := range []struct{ statement, want string }{
		{
			"INSERT INTO multi_interface (id, attached_node_name) VALUES (7, 'c')",
			`"c" 7 - - - - - "0" - - pending`,
		},
		{
			"UPDATE multi_interface SET netplan_success = 0 WHERE id = 2",
			`"b" 2 - "192.0.2.20" "24" - "" - - "2026-01-02 03:04:06" pending`,
		},
		// A number that is not 1 waits to become 1, like 0, but it is another.
		{
			"UPDATE multi_interface SET netplan_success = NULL WHERE id = 2",
			`"b" 2 - "192.0.2.20" "24" - "" - - "2026-01-02 03:04:06" pending`,
		},
		{
			"UPDATE multi_interface SET updated_at = '2026-01-02 03:04:07' WHERE id = 2",
			`"b" 2 - "192.0.2.20" "24" - "" - - "2026-01-02 03:04:07" pending`,
		},
		{
			"UPDATE multi_interface SET attached_node_name = 'b' WHERE id = 3",
			`"a" 1 "fa:16:3e:00:00:01" "192.0.2.10" "255.255.255.0" "192.0.2.1" "192.0.2.53" "0" - "2026-01-02 03:04:05" pending
"b" 2 - "192.0.2.20" "24" - "" - - "2026-01-02 03:04:07" pending
"b" 3 - "" - "" - "100" - - pending`,
		},
		// A row of no node is seen like any other, and so is which no name it has.
		{
			"UPDATE multi_interface SET attached_node_name = NULL WHERE id = 7",
			`"" 7 - - - - - "0" - - pending` + "\n" + `"c" has no rows`,
		},
		{
			"UPDATE multi_interface SET attached_node_name = '' WHERE id = 7",
			`"" 7 - - - - - "0" - - pending`,
		},
		{
			"UPDATE multi_interface SET attached_node_name = REPEAT('😀', 129) WHERE id = 7",
			`"" 7 - - - - - "0" - - pending`,
		},
		{
			"DELETE FROM multi_interface WHERE id = 7",
			`"" has no rows`,
		},
		{
			"DELETE FROM multi_interface",
			"\"a\" has no rows\n\"b\" has no rows",
		},
	} {
		table.do(change.statement)
		w.sees(change.want)
	}
	w.seesNothing()
}

func TestATableWithoutRowsIsAFirstPictureToo(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	w := follow(t, open(t, server), poll)
	w.sees("full")
	w.seesNothing()
	controller(t, server).do("INSERT INTO multi_interface (attached_node_name, updated_at) VALUES ('a', '2026-01-02 03:04:05')")
	w.sees(`"a" 1 - - - - - "0" - "2026-01-02 03:04:05" pending`)
}

// TestNoTwoContentsLookAlike changes a node's rows, in place and with updated_at as it was, in ways that a careless
// digest or comparison would take for no change.
func TestNoTwoContentsLookAlike(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("ALTER TABLE multi_interface MODIFY dns VARBINARY(255); " +
		"INSERT INTO multi_interface (id, attached_node_name, mac_address, ip_address, subnet_mask, gateway, dns, vlan, updated_at)" +
		" VALUES (1, 'a', 'abc', 'de', 'f', 'g', 'h', 12, '2026-01-02 03:04:05')")
	w := follow(t, open(t, server), poll)
	w.sees("full\n" + `"a" 1 "abc" "de" "f" "g" "h" "12" - "2026-01-02 03:04:05" pending`)
	for _, change := range []struct{ name, set, want string }{
		{"an end moves into the column's neighbour", "mac_address = 'ab', ip_address = 'cde'", `"ab" "cde" "f" "g" "h" "12"`},
		{"a whole content moves into the column's neighbour", "subnet_mask = '', gateway = 'fg'", `"ab" "cde" "" "fg" "h" "12"`},
		{"the empty text becomes NULL", "subnet_mask = NULL", `"ab" "cde" - "fg" "h" "12"`},
		{"NULL becomes the word", "subnet_mask = 'NULL'", `"ab" "cde" "NULL" "fg" "h" "12"`},
		{"the word becomes the empty text", "subnet_mask = ''", `"ab" "cde" "" "fg" "h" "12"`},
		{"NULL changes places", "subnet_mask = 'fg', gateway = NULL", `"ab" "cde" "fg" - "h" "12"`},
		{"a blank is added at the end", "mac_address = 'ab '", `"ab " "cde" "fg" - "h" "12"`},
		{"another blank is added at the end", "mac_address = 'ab  '", `"ab  " "cde" "fg" - "h" "12"`},
		{"nothing becomes a blank", "gateway = ' '", `"ab  " "cde" "fg" " " "h" "12"`},
		{"the case changes", "ip_address = 'CDE'", `"ab  " "CDE" "fg" " " "h" "12"`},
		{"an accent is added", "ip_address = 'ÇDE'", `"ab  " "ÇDE" "fg" " " "h" "12"`},
		{"the accent is written otherwise", "ip_address = 'C\u0327DE'", "\"ab  \" \"C\u0327DE\" \"fg\" \" \" \"h\" \"12\""},
		{"a character of four bytes", "ip_address = '😀'", `"ab  " "😀" "fg" " " "h" "12"`},
		{"another one", "ip_address = '😁'", `"ab  " "😁" "fg" " " "h" "12"`},
		{"quotes and backslashes", `subnet_mask = '\\''', gateway = ''`, `"ab  " "😁" "\\'" "" "h" "12"`},
		{"quotes and backslashes move", `subnet_mask = '\\', gateway = ''''`, `"ab  " "😁" "\\" "'" "h" "12"`},
		{"bytes that are no text", "dns = X'00FF0A1A'", `"ab  " "😁" "\\" "'" "\x00\xff\n\x1a" "12"`},
		{"other bytes that are no text", "dns = X'00FE0A1A'", `"ab  " "😁" "\\" "'" "\x00\xfe\n\x1a" "12"`},
		{"one byte less", "dns = X'FE0A1A'", `"ab  " "😁" "\\" "'" "\xfe\n\x1a" "12"`},
		{"a number that looks alike", "vlan = 1, dns = '2'", `"ab  " "😁" "\\" "'" "2" "1"`},
	} {
		table.do("UPDATE multi_interface SET updated_at = updated_at, " + change.set)
		if got, want := show(w.next()), `"a" 1 `+change.want+` - "2026-01-02 03:04:05" pending`; got != want {
			t.Fatalf("%s: the next change is\n%s\nwant\n%s", change.name, got, want)
		}
	}
}

// tenRows are ten committed rows of one node; the same content is inserted again under other ids.
const tenRows = `INSERT INTO multi_interface (attached_node_name, mac_address, netplan_success, ip_address, updated_at)
    SELECT 'a', CONCAT('fa:16:3e:00:00:0', seq), 1, CONCAT('192.0.2.1', seq), '2026-01-02 03:04:05' FROM seq_0_to_9`

func TestTenFlagsResetAtOnceAreSeen(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do(tenRows)
	w := follow(t, open(t, server), poll)
	w.next()
	// A digest that is linear under XOR, as CRC32 is, loses the same bit flipped in an even number of rows.
	table.do("UPDATE multi_interface SET netplan_success = 0, updated_at = updated_at")
	change := w.next()
	if len(change.Nodes) != 1 || len(change.Nodes["a"]) != 10 {
		t.Fatalf("the change is\n%s", show(change))
	}
	for _, one := range change.Nodes["a"] {
		if one.Committed {
			t.Errorf("%s", showRow(one))
		}
	}
	for _, pair := range []string{"id IN (1, 2)", "id IN (9, 10)"} {
		table.do("UPDATE multi_interface SET netplan_success = 1, updated_at = updated_at WHERE " + pair)
		w.next()
	}
	w.seesNothing()
}

func TestTheSameContentUnderNewIdsIsSeen(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do(tenRows)
	w := follow(t, open(t, server), poll)
	if first := w.next().Nodes["a"][0]; first.ID != 1 || !first.Committed {
		t.Fatal(showRow(first))
	}
	// One transaction, and two: in between, the node may be seen without rows.
	table.do("BEGIN; DELETE FROM multi_interface; " + tenRows + "; COMMIT")
	if rows := w.next().Nodes["a"]; len(rows) != 10 || rows[0].ID <= 10 {
		t.Fatalf("the rows are %v", rows)
	}
	w.seesNothing()
}

func TestRereadHandsOverWithTheNextPollWhatIsAsItWas(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do(tenRows + "; DELETE FROM multi_interface WHERE id > 1; UPDATE multi_interface SET updated_at = '2026-01-02 03:04:05'")
	s := open(t, server)
	s.Reread("z") // before there is anybody to hear it
	w := follow(t, s, poll)
	const a = `"a" 1 "fa:16:3e:00:00:00" "192.0.2.10" - - - "0" - "2026-01-02 03:04:05" committed`
	w.sees("full\n" + a + "\n\"z\" has no rows")
	for range 3 {
		s.Reread("a", "nobody")
		w.sees(a + "\n\"nobody\" has no rows")
	}
	table.do("UPDATE multi_interface SET netplan_success = 0, updated_at = updated_at")
	s.Reread("a")
	w.sees(strings.Replace(a, "committed", "pending", 1))
	s.Reread()
	s.Reread("b")
	w.sees(`"b" has no rows`)
	w.seesNoMore()
}

func TestWhatRereadHandedOverIsNotHandedOverAgain(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do(tenRows)
	s := open(t, server)
	w := follow(t, s, 500*time.Millisecond)
	w.next()
	table.do("UPDATE multi_interface SET netplan_success = 0")
	s.Reread("a")
	w.next()
	w.seesNothing()
}

func TestMoreNodesThanAreReadByNameAreReadAll(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("INSERT INTO multi_interface (attached_node_name) SELECT seq FROM seq_1_to_3000")
	w := follow(t, open(t, server), poll)
	if n := len(w.next().Nodes); n != 3000 {
		t.Fatalf("the first picture has %d nodes", n)
	}
	for _, change := range []struct {
		where         string
		nodes, absent int
	}{
		{"id <= 1200", 1200, 0},
		{"id <= 2400", 2400, 0},
		{"id <= 2400", 2400, 0},
	} {
		table.do("UPDATE multi_interface SET vlan = vlan + 1 WHERE " + change.where)
		got := w.next()
		if got.Full || len(got.Nodes) != change.nodes {
			t.Fatalf("%s: %d nodes, full %v", change.where, len(got.Nodes), got.Full)
		}
		for node, rows := range got.Nodes {
			if len(rows) != 1 || rows[0].Node.Text != node {
				t.Fatalf("node %s has the rows %v", node, rows)
			}
		}
	}
	table.do("DELETE FROM multi_interface WHERE id <= 2999")
	got := w.next()
	if len(got.Nodes) != 2999 {
		t.Fatalf("%d nodes", len(got.Nodes))
	}
	for node, rows := range got.Nodes {
		if rows == nil || len(rows) != 0 {
			t.Fatalf("node %s has the rows %v", node, rows)
		}
	}
	w.seesNothing()
}

// TestAFlagThatIsSetBackBeforeThePollIsSeen leaves the table as the poll before saw it.
func TestAFlagThatIsSetBackBeforeThePollIsSeen(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("INSERT INTO multi_interface (attached_node_name, updated_at) VALUES ('a', '2026-01-02 03:04:05')")
	s := open(t, server)
	w := follow(t, s, 300*time.Millisecond)
	read := w.next().Nodes["a"]
	for range 3 {
		commits(t, s, read, true)
		table.do("UPDATE multi_interface SET netplan_success = 0, updated_at = '2026-01-02 03:04:05'")
		s.Reread("a") // Whoever commits asks for it.
		// A poll may also fall between the two.
		for w.next().Nodes["a"][0].Committed {
		}
	}
}

func TestALongNameIsANodesNameUpTo512Bytes(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("ALTER TABLE multi_interface MODIFY attached_node_name LONGTEXT; INSERT INTO multi_interface (attached_node_name, updated_at) VALUES" +
		" (REPEAT('😀', 128), '2026-01-02 03:04:05'), (CONCAT(REPEAT('😀', 128), 'x'), '2026-01-02 03:04:05'), (REPEAT('x', 10000), '2026-01-02 03:04:05')")
	s := open(t, server)
	w := follow(t, s, poll)
	w.sees(`full
"" 2 - - - - - "0" - "2026-01-02 03:04:05" pending
"" 3 - - - - - "0" - "2026-01-02 03:04:05" pending
"` + strings.Repeat("😀", 128) + `" 1 - - - - - "0" - "2026-01-02 03:04:05" pending`)
	w.seesNothing()
	commits(t, s, rows(t, s), true, true, true)
}

func TestAValueOfMoreThan4096BytesIsReadAsItsBeginningAndItsSum(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do("ALTER TABLE multi_interface MODIFY dns LONGTEXT; INSERT INTO multi_interface (attached_node_name, dns, updated_at) VALUES" +
		" ('a', REPEAT('é', 2048), '2026-01-02 03:04:05'), ('b', CONCAT(REPEAT('é', 2048), 'x'), '2026-01-02 03:04:05')")
	s := open(t, server)
	w := follow(t, s, poll)
	b := func(sum string) string {
		return `"b" 2 - - - - "` + strings.Repeat("é", 100) + "... 4097 bytes, MD5 " + sum + `" "0" - "2026-01-02 03:04:05" pending`
	}
	w.sees("full\n" + `"a" 1 - - - - "` + strings.Repeat("é", 2048) + `" "0" - "2026-01-02 03:04:05" pending` + "\n" + b("00486c421229691b0ce21161603c0993"))
	read := rows(t, s)
	table.do("UPDATE multi_interface SET dns = CONCAT(REPEAT('é', 2048), 'y'), updated_at = updated_at WHERE id = 2")
	w.sees(b("4440f29d8da2f3a80ad6b3f5ebc7a8b7"))
	commits(t, s, read, true, false)
	commits(t, s, rows(t, s)[1:], true)
}

func TestAReadingNeverMixesTwoMoments(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do(tenRows)
	w := follow(t, open(t, server), time.Millisecond)
	for i := range 100 {
		table.do(fmt.Sprintf("UPDATE multi_interface SET vlan = %d", i+1))
	}
	for last := ""; last != "100"; {
		rows := w.next().Nodes["a"]
		for _, one := range rows {
			if one.VLAN != rows[0].VLAN {
				t.Fatalf("rows of two moments: %v", rows)
			}
		}
		last = rows[0].VLAN.Text
	}
	w.seesNothing()
}
