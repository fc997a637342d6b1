package hostile_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// null is SQL's NULL among the texts of cells.
const null = "<NULL>"

// cells are what a row has in its columns, by their names: the bytes of a text, or null.
type cells map[string]string

// hostile is a row and all that becomes of it.
type hostile struct {
	// what says what is wrong with it, or odd.
	what string
	// id is the row's id; 0: its number in the table, from 1.
	id int64
	// cells are those in which it differs from plain.
	cells cells
	// want is the outcome; see outcome.
	want string
}

// plain is a row that nothing is wrong with, of a NIC that only it names.
func plain(id int64) cells {
	return cells{
		"attached_node_name": nodeName, "mac_address": fmt.Sprintf("02:00:5e:20:%02x:%02x", uint8(id>>8), uint8(id)), "netplan_success": "0",
		"ip_address": "198.51.100.10", "subnet_mask": "255.255.255.0", "gateway": "198.51.100.1", "dns": "203.0.113.53", "vlan": "0", "mtu": null,
	}
}

// all are the cells of a row.
func (h hostile) all() cells {
	all := plain(h.id)
	maps.Copy(all, h.cells)
	return all
}

// shape is a table with the usual columns, so wide that they hold what a strict table refuses.
type shape struct {
	name, create string
	// literal is SQL of a text.
	literal func(text string) string
	// holds says whether the columns hold a text as it is.
	holds func(text string) bool
}

// shapes are one whose columns are bytes, which hold anything, and one whose columns are texts, each in another character set.
func shapes() []shape {
	const rest = `CREATE TABLE multi_interface (
    id BIGINT PRIMARY KEY, netplan_success BIGINT NULL DEFAULT 0, created_at DATETIME NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at DATETIME NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, `
	return []shape{
		{
			name: "bytes", create: rest + `attached_node_name VARBINARY(4096), mac_address VARBINARY(8192), ip_address LONGBLOB, subnet_mask BLOB, gateway VARBINARY(8192),
    dns MEDIUMBLOB, vlan VARBINARY(8192), mtu BLOB)`,
			literal: func(text string) string { return fmt.Sprintf("X'%x'", text) },
			holds:   func(string) bool { return true },
		},
		{
			name: "texts", create: rest + `attached_node_name VARCHAR(4096) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, mac_address TEXT CHARACTER SET utf8mb4,
    ip_address LONGTEXT CHARACTER SET utf16, subnet_mask TEXT CHARACTER SET utf32, gateway VARCHAR(8000) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci,
    dns MEDIUMTEXT CHARACTER SET utf16le, vlan TEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, mtu TEXT CHARACTER SET utf16)`,
			literal: func(text string) string { return fmt.Sprintf("_utf8mb4 X'%x'", text) },
			holds:   utf8.ValidString,
		},
	}
}

// value is SQL of a cell.
func (s shape) value(column, text string) string {
	switch {
	case text == null:
		return "NULL"
	case column == "netplan_success", column == "updated_at", column == "created_at":
		return "'" + text + "'"
	}
	return s.literal(text)
}

// rows are those of the table that the shape holds.
func (s shape) rows() []hostile {
	return slices.DeleteFunc(table(), func(h hostile) bool {
		return slices.ContainsFunc(slices.Collect(maps.Values(h.cells)), func(text string) bool { return !s.holds(text) })
	})
}

// insert is SQL that writes rows in one transaction, whatever the server thinks of them.
func (s shape) insert(rows []hostile) string {
	var statements strings.Builder
	statements.WriteString("SET SESSION sql_mode = ''; START TRANSACTION;\n")
	for _, row := range rows {
		columns, values := []string{"id"}, []string{fmt.Sprint(row.id)}
		for column, text := range row.all() {
			columns, values = append(columns, column), append(values, s.value(column, text))
		}
		fmt.Fprintf(&statements, "INSERT INTO multi_interface (%s) VALUES (%s);\n", strings.Join(columns, ", "), strings.Join(values, ", "))
	}
	return statements.String() + "COMMIT;\n"
}
