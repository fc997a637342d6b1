package fleet

import (
	"context"
	"fmt"
	"strings"

	"multinic.dev/testbed/oracle"
)

// Row is what the controller writes for one interface. Empty columns are NULL.
type Row struct {
	Node, MAC, Address, Mask, Gateway, DNS string
	VLAN, MTU                              int
}

// SQL runs statements as the database's root.
func (f *Fleet) SQL(statements string) {
	f.t.Helper()
	f.must(f.DB.Exec(context.Background(), statements))
}

// Insert writes rows. The table must have a column mtu if one of them asks for it.
func (f *Fleet) Insert(rows ...Row) {
	f.t.Helper()
	f.SQL(inserts(rows))
}

// Rewrite does what the controller does at each of its reconciles: deletes all rows of the rows' nodes and inserts them again, with
// new ids and 0, in one transaction.
func (f *Fleet) Rewrite(rows ...Row) {
	f.t.Helper()
	var statements strings.Builder
	statements.WriteString("START TRANSACTION;\n")
	for _, row := range rows {
		fmt.Fprintf(&statements, "DELETE FROM multi_interface WHERE attached_node_name = %s;\n", quoted(row.Node))
	}
	f.SQL(statements.String() + inserts(rows) + "COMMIT;\n")
}

func inserts(rows []Row) string {
	var statements strings.Builder
	for _, row := range rows {
		mtu, value := "", ""
		if row.MTU != 0 {
			mtu, value = ", mtu", fmt.Sprint(", ", row.MTU)
		}
		fmt.Fprintf(&statements, "INSERT INTO multi_interface (attached_node_name, mac_address, ip_address, subnet_mask, gateway, dns, vlan%s)"+
			" VALUES (%s, %s, %s, %s, %s, %s, %d%s);\n", mtu,
			quoted(row.Node), quoted(row.MAC), quoted(row.Address), quoted(row.Mask), quoted(row.Gateway), quoted(row.DNS), row.VLAN, value)
	}

	return statements.String()
}

// quoted is a text as SQL has it; empty is NULL.
func quoted(text string) string {
	if text == "" {
		return "NULL"
	}

	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

// Flags are the flags of all rows in the order of their ids, such as "1 1 0".
func (f *Fleet) Flags() string {
	f.t.Helper()
	rows, err := f.DB.Query(context.Background(), "SELECT netplan_success FROM multi_interface ORDER BY id")
	f.must(err)
	var flags []string
	for _, row := range rows {
		flags = append(flags, row[0])
	}

	return strings.Join(flags, " ")
}

// AwaitFlags waits until the flags are so.
func (f *Fleet) AwaitFlags(want string) {
	f.t.Helper()
	got := ""
	f.Until(func() bool { got = f.Flags(); return got == want }, func() string { return "the flags are " + got + ", not " + want })
}

// AwaitAll waits until each row is 1.
func (f *Fleet) AwaitAll() {
	f.t.Helper()
	got := ""
	f.Until(func() bool { got = f.Flags(); return got != "" && !strings.Contains(got, "0") },
		func() string { return "the flags are " + got + ", not all 1" })
}

// Judge has the oracle compare a node's kernel with rows, and returns what is wrong, a line each.
func (n *Node) Judge(expect oracle.Expect, rows ...Row) string {
	n.fleet.t.Helper()

	return n.fleet.judge(n.Name(), n.Node, expect, rows)
}

func (f *Fleet) judge(name string, kernel oracle.Kernel, expect oracle.Expect, rows []Row) string {
	f.t.Helper()
	var asked []oracle.Row
	for _, row := range rows {
		if row.Node == name {
			asked = append(asked, oracle.Row{MAC: row.MAC, VLAN: row.VLAN, Address: row.Address, Mask: row.Mask, Gateway: row.Gateway, MTU: row.MTU})
		}
	}
	wrong, err := oracle.Check(context.Background(), kernel, asked, expect)
	f.must(err)

	return strings.Join(wrong, "\n")
}
