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
	s.until(patience, func() bool { got = s.flags(); return got != "" && !strings.Contains(got, "0") },
		func() string { return "the flags are " + got + ", not all 1" })
}

// judge has the oracle compare a node's kernel with rows.
func (s *site) judge(node string, rows ...row) {
	s.t.Helper()
	var asked []oracle.Row
	for _, row := range rows {
		asked = append(asked, oracle.Row{MAC: row.MAC, Address: row.Address, Mask: "26"})
	}
	wrong, err := oracle.Check(s.t.Context(), s.nodes[node], asked, oracle.Expect{})
	s.must(err)
	if len(wrong) > 0 {
		s.t.Errorf("in the kernel of %s:\n%s", node, strings.Join(wrong, "\n"))
	}
}
