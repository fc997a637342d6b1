package store

import (
	"fmt"
	"slices"
	"strings"
)

// The tables, by their names in --db-name.
const (
	interfaces = "multi_interface"
	subnets    = "multi_subnet"
)

// column is a column as information_schema describes it.
type column struct {
	table, name string
	// charset is empty for what is no text; octets is the most that it can hold, zero for what is no text or bytes.
	charset string
	octets  uint64
}

// maxOctets is how much of a column is worth reading. A longer value cannot be anything valid; it is read, digested and
// compared as its beginning and its MD5, so that a column of gigabytes costs nobody's memory.
const maxOctets = 4096

// maxNodeOctets is below MariaDB's max_sort_length, beyond which grouping by a name would cut it.
const maxNodeOctets = 1000

// sameInUTF8 are the character sets whose bytes are UTF-8 as they are.
func sameInUTF8(charset string) bool {
	return slices.Contains([]string{"", "ascii", "utf8", "utf8mb3", "utf8mb4"}, charset)
}

// expression is the one SQL expression by which a column is read, digested and compared: its bytes in UTF-8.
// In a comparison of such bytes neither case, accents nor trailing blanks are ever equal.
func (c column) expression() string {
	name := "m.`" + c.name + "`"
	if !sameInUTF8(c.charset) {
		name = "CONVERT(" + name + " USING utf8mb4)"
	}
	if c.octets <= maxOctets {
		return "CAST(" + name + " AS BINARY)"
	}

	return fmt.Sprintf("IF(OCTET_LENGTH(%[1]s) > %[2]d, CONCAT(LEFT(CAST(%[1]s AS BINARY), 100), '... ', OCTET_LENGTH(%[1]s),"+
		" ' bytes, MD5 ', MD5(%[1]s)), CAST(%[1]s AS BINARY))", name, maxOctets)
}

// table is the table as its columns are: all statements about it. Immutable.
type table struct {
	// The expressions of row's fields; empty where the table has no such column.
	node, mac, address, mask, gateway, dns, vlan, mtu, updatedAt string
	// alive is the condition of a row that is there.
	alive string
	// repeatable says that the server's binary log has the statements themselves, which READ COMMITTED does not allow.
	repeatable bool
}

// arrange maps the columns that there are to what a row needs. The text that it returns is empty, or says in one line
// what is missing.
func arrange(columns []column) (*table, string) {
	var missing string
	find := func(names ...string) string {
		for _, name := range names {
			for _, one := range columns {
				if one.table == interfaces && one.name == name {
					return one.expression()
				}
			}
		}

		return ""
	}
	require := func(names ...string) string {
		found := find(names...)
		if found == "" && missing == "" {
			missing = "the table " + interfaces + " has no column " + strings.Join(names, " or ")
		}

		return found
	}

	require("id")
	t := &table{node: require("attached_node_name"), mac: require("mac_address", "macaddress")}
	require("netplan_success")
	t.address = require("ip_address", "address")
	t.mask = find("subnet_mask")
	if t.mask == "" {
		var lack string
		if t.mask, lack = prefixOfSubnet(columns); lack != "" && missing == "" {
			missing = lack
		}
	}
	t.gateway, t.dns, t.vlan = require("gateway"), require("dns"), require("vlan")
	t.mtu, t.updatedAt = find("mtu"), find("updated_at", "modified_at")

	t.alive = fmt.Sprintf("OCTET_LENGTH(%s) BETWEEN 1 AND %d", t.node, maxNodeOctets)
	if find("deleted_at") != "" {
		t.alive += " AND m.deleted_at IS NULL"
	}

	return t, missing
}

// prefixOfSubnet is the expression of the prefix length where it stands in multi_subnet.cidr. Two subnets of one
// subnet_id are said to be two, never chosen from.
func prefixOfSubnet(columns []column) (expression, missing string) {
	has := func(table, name string) bool {
		return slices.ContainsFunc(columns, func(c column) bool { return c.table == table && c.name == name })
	}
	key := "subnet_id"
	if !has(subnets, key) {
		key = "id"
	}
	switch {
	case !has(interfaces, "subnet_id"):
		return "", "the table " + interfaces + " has no column subnet_mask (and no subnet_id, by which " + subnets + ".cidr could stand in)"
	case !has(subnets, "cidr") || !has(subnets, key):
		return "", "the table " + interfaces + " has no column subnet_mask, and " + subnets + ".cidr, which could stand in by subnet_id, is not there"
	}

	return "CAST((SELECT CASE COUNT(*) WHEN 0 THEN NULL WHEN 1 THEN MIN(SUBSTRING_INDEX(s.cidr, '/', -1))" +
		" ELSE CONCAT(COUNT(*), ' subnets have this subnet_id') END" +
		" FROM " + subnets + " AS s WHERE s." + key + " = m.subnet_id) AS BINARY)", ""
}

// columns are the expressions of row's fields, in the order of fields; empty where the table has no such column.
func (t *table) columns() [columnsOfARow]string {
	return [...]string{t.node, t.mac, t.address, t.mask, t.gateway, t.dns, t.vlan, t.mtu, t.updatedAt}
}

// content are the expressions of all content columns that there are, the node's name first.
func (t *table) content() []string {
	all := t.columns()

	return slices.DeleteFunc(all[:], func(expression string) bool { return expression == "" })
}

// digest is 64 bits of the MD5 of a row: of its id, its flag, and its columns, each with its length before it, or marked as
// NULL, so that nothing can move from one column into its neighbour unseen. Not CRC32, which is linear: under XOR, the
// same bits flipped in an even number of rows leave it as it was.
func (t *table) digest() string {
	parts := []string{"m.id", "';'"}
	for _, one := range append([]string{"CAST(m.netplan_success AS BINARY)"}, t.content()...) {
		parts = append(parts, "IFNULL(CONCAT(OCTET_LENGTH("+one+"), ':', "+one+"), '-')")
	}

	return "CAST(CONV(LEFT(MD5(CONCAT(" + strings.Join(parts, ", ") + ")), 16), 16, 10) AS UNSIGNED)"
}

// digests is the query for the number of rows and the digest of every node.
func (t *table) digests() string {
	return "SELECT " + t.node + " AS node, COUNT(*), BIT_XOR(" + t.digest() + ") FROM " + interfaces + " AS m" +
		" WHERE " + t.alive + " GROUP BY node"
}

// rows is the query for the rows that also meet the condition, with the digest of each.
func (t *table) rows(condition string) string {
	columns := []string{"m.id", "COALESCE(m.netplan_success = 1, FALSE)", t.digest()}
	for _, one := range t.columns() {
		if one == "" {
			one = "NULL"
		}
		columns = append(columns, one)
	}

	return "SELECT " + strings.Join(columns, ", ") + " FROM " + interfaces + " AS m" +
		" WHERE " + t.alive + " AND " + condition + " ORDER BY m.id"
}

// ofNodes is the condition of rows that belong to one of so many nodes.
func (t *table) ofNodes(count int) string {
	return t.node + " IN (" + strings.Join(slices.Repeat([]string{"CAST(? AS BINARY)"}, count), ", ") + ")"
}

// commit is the compare-and-set of one row; its parameters are the row's id, then its content, then the server's time in
// microseconds after which it does nothing. SYSDATE is the time at which the row is looked at, when its lock was had; NOW
// would be the time at which the statement began to wait for it.
func (t *table) commit() string {
	conditions := []string{"m.id = ?", "NOT (m.netplan_success <=> 1)", t.alive}
	for _, one := range t.content() {
		conditions = append(conditions, one+" <=> CAST(? AS BINARY)")
	}

	return "UPDATE " + interfaces + " AS m SET m.netplan_success = 1 WHERE " + strings.Join(conditions, " AND ") +
		" AND " + serverTime + " <= ?"
}

// serverTime is the server's clock in microseconds since 1970.
const serverTime = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"
