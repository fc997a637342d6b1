package install_test

import (
	"fmt"
	"slices"
	"strings"

	"multinic.dev/testbed/oracle"
)

// row is what the controller writes for one card.
type row struct{ Node, MAC, Address string }

// rows are those of a node: two cards, each in a network of its own.
func (s *site) rows(node string) []row {
	letter := node[len(node)-1]
	var rows []row
	for card := range 2 {
		rows = append(rows, row{
			Node: node, MAC: fmt.Sprintf("02:00:5e:20:%02x:%02x", letter, card),
			Address: fmt.Sprintf("203.0.113.%d", 64*card+int(letter-'a')+10),
		})
	}
	return rows
}

// sql runs statements as the database's root.
func (s *site) sql(statements string) {
	s.t.Helper()
	s.must(s.db.Exec(s.t.Context(), statements))
}

// insert writes rows.
func (s *site) insert(rows ...row) {
	s.t.Helper()
	var text strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&text, "INSERT INTO multi_interface (attached_node_name, mac_address, ip_address, subnet_mask) VALUES ('%s', '%s', '%s', '26');\n",
			row.Node, row.MAC, row.Address)
	}
	s.sql(text.String())
}

// flags are the flags of all rows in the order of their ids, such as "1 1 0".
func (s *site) flags() string {
	s.t.Helper()
	rows, err := s.db.Query(s.t.Context(), "SELECT netplan_success FROM multi_interface ORDER BY id")
	s.must(err)
	return strings.Join(slices.Concat(rows...), " ")
}

// awaitAll waits until each row is 1.
func (s *site) awaitAll() {
	s.t.Helper()
	got := ""
	s.until(func() bool { got = s.flags(); return got != "" && !strings.Contains(got, "0") },
		func() string { return "the flags are " + got + ", not all 1" })
}

// awaitFlags waits until the flags are so.
func (s *site) awaitFlags(want string) {
	s.t.Helper()
	got := ""
	s.until(func() bool { got = s.flags(); return got == want }, func() string { return "the flags are " + got + ", not " + want })
}

// judge has the oracle compare a node's kernel with rows.
func (s *site) judge(node string, rows ...row) {
	s.t.Helper()
	if wrong := s.wrong(node, rows...); wrong != "" {
		s.t.Errorf("in the kernel of %s:\n%s", node, wrong)
	}
}

// wrong is what the oracle finds in a node's kernel that is not as rows say, a line each.
func (s *site) wrong(node string, rows ...row) string {
	s.t.Helper()
	var asked []oracle.Row
	for _, row := range rows {
		asked = append(asked, oracle.Row{MAC: row.MAC, Address: row.Address, Mask: "26"})
	}
	wrong, err := oracle.Check(s.t.Context(), s.nodes[node], asked, oracle.Expect{})
	s.must(err)
	return strings.Join(wrong, "\n")
}

// rewrite does what the controller does at each of its reconciles: deletes all rows of some nodes and inserts them again, with new ids and 0,
// in one transaction.
func (s *site) rewrite(nodes ...string) {
	s.t.Helper()
	const columns = "attached_node_name, mac_address, ip_address, subnet_mask"
	var text strings.Builder
	text.WriteString("START TRANSACTION;\n")
	for _, node := range nodes {
		fmt.Fprintf(&text, "CREATE TEMPORARY TABLE old AS SELECT %[2]s FROM multi_interface WHERE attached_node_name = '%[1]s';\n"+
			"DELETE FROM multi_interface WHERE attached_node_name = '%[1]s';\n"+
			"INSERT INTO multi_interface (%[2]s) SELECT %[2]s FROM old;\nDROP TEMPORARY TABLE old;\n", node, columns)
	}
	s.sql(text.String() + "COMMIT;\n")
}

// works has the rows of nodes written anew, and become true again.
func (s *site) works(nodes ...string) {
	s.t.Helper()
	s.rewrite(nodes...)
	s.awaitAll()
}

// move changes the address of a row in place, and returns the row as it is then.
func (s *site) move(of row, address string) row {
	s.t.Helper()
	s.sql(fmt.Sprintf("UPDATE multi_interface SET ip_address = '%s', netplan_success = 0 WHERE mac_address = '%s'", address, of.MAC))
	of.Address = address
	return of
}
