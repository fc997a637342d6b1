package store

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"multinic.dev/dispatcher/internal/row"
)

// The tables, by their names in --db-name.
const (
	interfaces = "multi_interface"
	subnets    = "multi_subnet"
)

// column is a column as information_schema describes it.
type column struct {
	table, name string
	// kind is the type without its measures, as in varchar.
	kind string
	// charset and collation are empty for what is no text; octets is the most that it can hold, zero for what is no text or bytes.
	charset, collation string
	octets             uint64
}

// maxOctets is how much of a column is worth reading. A longer value cannot be anything valid; it is read, digested and
// compared as its beginning and its MD5, so that a column of gigabytes costs nobody's memory.
const maxOctets = 4096

// beginning is how many characters of a value that is too long are kept, and ofName how many of a name: more than a node's name can
// have, so that what is left is none either.
const (
	beginning = 100
	ofName    = row.MaxName + 1
)

// isUTF8 says whether the column's bytes are UTF-8 as they are, or bytes that are no text at all.
func (c column) isUTF8() bool {
	// Cast to bytes, these would show how the server keeps them.
	if slices.Contains([]string{"inet4", "inet6", "uuid"}, c.kind) {
		return false
	}

	return slices.Contains([]string{"", "ascii", "utf8", "utf8mb3", "utf8mb4"}, c.charset)
}

// text is the SQL expression of what the column holds, in UTF-8.
func (c column) text() string {
	name := "m.`" + c.name + "`"
	if c.isUTF8() {
		return name
	}

	return "CONVERT(" + name + " USING utf8mb4)"
}

// bytes is the SQL expression of the bytes of text. In a comparison of them neither case, accents nor trailing blanks are
// ever equal.
func (c column) bytes() string { return "CAST(" + c.text() + " AS BINARY)" }

// expression is the one SQL expression by which a column is read, digested and compared: bytes, but of a value that is too
// long so many characters of its beginning and its MD5.
func (c column) expression(kept int) string {
	if c.octets <= maxOctets {
		return c.bytes()
	}

	return fmt.Sprintf("IF(OCTET_LENGTH(%[1]s) > %[2]d,"+
		" CONCAT(CAST(LEFT(%[1]s, %[3]d) AS BINARY), '... ', OCTET_LENGTH(%[1]s), ' bytes, MD5 ', MD5(%[1]s)), %[4]s)", c.text(), maxOctets, kept, c.bytes())
}

// alike is what to compare the column with: the text in the column's own character set and collation, since the server
// compares no others, and by no others finds the column in its index.
func (c column) alike(text string) string {
	if c.charset == "" {
		return text
	}

	return "CONVERT(" + text + " USING " + c.charset + ") COLLATE " + c.collation
}

// table is the table as its columns are: all statements about it. Immutable.
type table struct {
	// The expressions of row's fields; empty where the table has no such column.
	node, mac, address, mask, gateway, dns, vlan, mtu, updatedAt string
	// owner is the expression of row.Row.Owner.
	owner string
	// alive is the condition of a row that is there.
	alive string
	// logged says that the server's binary log has the statements themselves: they are executed again, elsewhere and later.
	logged bool
	// undone says that the server undoes a whole transaction when one of its statements was not given a lock.
	undone bool
}

// lack is what a table lacks.
type lack struct {
	// what says it; empty when nothing is missing.
	what string
	// hidden is the table that may be there all the same, where the account has no right to see it.
	hidden string
}

// arrange maps the columns that there are to what a row needs, and says what is missing.
func arrange(columns []column) (*table, lack) {
	var missing lack
	find := func(names ...string) string {
		for _, name := range names {
			if at := indexOf(columns, interfaces, name); at >= 0 {
				return columns[at].expression(beginning)
			}
		}

		return ""
	}
	require := func(names ...string) string {
		found := find(names...)
		if found == "" && missing.what == "" {
			missing.what = "the table " + interfaces + " has no column " + strings.Join(names, " or ")
		}

		return found
	}

	require("id")
	t := &table{}
	if require("attached_node_name") != "" {
		name := columns[indexOf(columns, interfaces, "attached_node_name")]
		t.node = name.expression(ofName)
		t.owner = fmt.Sprintf("IF(OCTET_LENGTH(%[1]s) BETWEEN 1 AND %[2]d, %[1]s, '%[3]s')", name.bytes(), row.MaxName, row.NoNode)
	}
	t.mac = require("mac_address", "macaddress")
	require("netplan_success")
	t.address = require("ip_address", "address")
	t.mask = find("subnet_mask")
	if t.mask == "" {
		var without lack
		if t.mask, without = prefixOfSubnet(columns); missing.what == "" {
			missing = without
		}
	}
	t.gateway, t.dns, t.vlan = require("gateway"), require("dns"), require("vlan")
	t.mtu, t.updatedAt = find("mtu"), find("updated_at", "modified_at")

	t.alive = "TRUE"
	if find("deleted_at") != "" {
		t.alive = "m.deleted_at IS NULL"
	}

	return t, missing
}

// indexOf finds a column; -1 if there is none.
func indexOf(columns []column, table, name string) int {
	return slices.IndexFunc(columns, func(c column) bool { return c.table == table && c.name == name })
}

// prefixOfSubnet is the expression of the prefix length where it stands in multi_subnet.cidr. Two subnets of one
// subnet_id are said to be two, never chosen from.
func prefixOfSubnet(columns []column) (expression string, missing lack) {
	key := indexOf(columns, subnets, "subnet_id")
	if key < 0 {
		key = indexOf(columns, subnets, "id")
	}
	switch {
	case indexOf(columns, interfaces, "subnet_id") < 0:
		return "", lack{what: "the table " + interfaces + " has no column subnet_mask (and no subnet_id, by which " + subnets + ".cidr could stand in)"}
	case indexOf(columns, subnets, "cidr") < 0 || key < 0:
		return "", lack{
			what:   "the table " + interfaces + " has no column subnet_mask, and " + subnets + ".cidr, which could stand in by subnet_id, is not to be seen",
			hidden: subnets,
		}
	}

	return "(SELECT CASE COUNT(*) WHEN 0 THEN NULL WHEN 1 THEN MIN(CAST(CONVERT(SUBSTRING_INDEX(s.cidr, '/', -1) USING utf8mb4) AS BINARY))" +
		" ELSE CAST(CONCAT(COUNT(*), ' subnets have this subnet_id') AS BINARY) END" +
		" FROM " + subnets + " AS s WHERE s." + columns[key].name + " = " + columns[key].alike("m.subnet_id") + ")", lack{}
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

// digest is 64 bits of the MD5 of a row: of its id, its flag, and its columns, each in quotes, or the bare word NULL, so
// that nothing can move from one column into its neighbour unseen. Not CRC32, which is linear: under XOR, the same bits
// flipped in an even number of rows leave it as it was.
func (t *table) digest() string {
	parts := []string{"m.id"}
	for _, one := range append([]string{"CAST(m.netplan_success AS BINARY)"}, t.content()...) {
		parts = append(parts, "QUOTE("+one+")")
	}

	return "CAST(CONV(LEFT(MD5(CONCAT(" + strings.Join(parts, ", ") + ")), 16), 16, 10) AS UNSIGNED)"
}

// digests is the query for the number of rows and the digest of every node. LEFT cuts nothing: it tells the server how
// long a name can be. Grouping is by place, since a name could be that of a column too.
func (t *table) digests() string {
	return fmt.Sprintf("SELECT LEFT(%s, %d), COUNT(*), BIT_XOR(%s) FROM %s AS m WHERE %s GROUP BY 1",
		t.owner, row.MaxName, t.digest(), interfaces, t.alive)
}

// asRead are the expressions of a row as it is read (see scan), and a further one.
func (t *table) asRead(further string) string {
	columns := []string{"m.id", "COALESCE(m.netplan_success = 1, FALSE)", further}
	for _, one := range t.columns() {
		if one == "" {
			one = "NULL"
		}
		columns = append(columns, one)
	}

	return strings.Join(columns, ", ")
}

// rows is the query for the rows that also meet the condition, with the digest of each.
func (t *table) rows(condition string) string {
	return "SELECT " + t.asRead(t.digest()) + " FROM " + interfaces + " AS m WHERE " + t.alive + " AND " + condition + " ORDER BY m.id"
}

// ofNodes is the condition of rows that belong to one of so many nodes.
func (t *table) ofNodes(count int) string {
	return t.owner + " IN (" + strings.Join(slices.Repeat([]string{"CAST(? AS BINARY)"}, count), ", ") + ")"
}

// hold is the query for the rows with these ids, with the server's time at which it looked at each; it locks them, and so
// says what they are until the transaction ends.
func (t *table) hold(ids []int64) string {
	return "SELECT " + t.asRead(serverTime) + " FROM " + interfaces + " AS m WHERE " + t.alive + " AND m.id" + in(ids) + " FOR UPDATE"
}

// set sets the flag of rows that are held. By their ids alone: a log of statements is executed again elsewhere and later,
// where any other condition may say something else.
func set(flag string, ids []int64) string {
	return "UPDATE " + interfaces + " SET netplan_success = " + flag + " WHERE id" + in(ids)
}

// in is the condition of being one of these ids.
func in(ids []int64) string {
	texts := make([]string, 0, len(ids))
	for _, id := range ids {
		texts = append(texts, strconv.FormatInt(id, 10))
	}

	return " IN (" + strings.Join(texts, ", ") + ")"
}

// serverTime is the server's clock in microseconds since 1970. SYSDATE is the time at which a row is looked at, when its lock
// was had; NOW would be the time at which the statement began.
const serverTime = "CAST(UNIX_TIMESTAMP(SYSDATE(6)) * 1000000 AS SIGNED)"
