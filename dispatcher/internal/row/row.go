// Package row says what one row of the table multi_interface is, exactly as it was read.
package row

// Value is the text of one column, as SQL has it, in UTF-8. NULL and the empty text are different values.
type Value struct {
	// Text is the column's text; empty when Null.
	Text string
	// Null says that the column is NULL, or that the table has no such column.
	Null bool
}

// Text returns a value that is not NULL.
func Text(text string) Value { return Value{Text: text} }

// Null returns SQL's NULL.
func Null() Value { return Value{Null: true} }

// MaxName is the longest name of a node, in bytes; a row with a longer one belongs to none, as one with none does. MariaDB groups by
// what is longer in tables on disk, which takes three times as long; no node's name in Kubernetes has more than 253.
const MaxName = 512

// NoNode is the name under which the rows are that belong to no node.
const NoNode = ""

// Owner is the name of the node that the row belongs to, or NoNode.
func (r Row) Owner() string {
	if len(r.Node.Text) > MaxName {
		return NoNode
	}

	return r.Node.Text
}

// Row is one row of the table. Nothing in it was judged: any column may hold anything. Rows are plain values, are
// comparable with ==, and two equal rows are the same to the compare-and-set that commits them.
type Row struct {
	// ID is the primary key. The table's writer gives the same content new ids whenever it likes.
	ID int64
	// Node is attached_node_name.
	Node Value
	// MAC is mac_address or macaddress.
	MAC Value
	// Address is ip_address or address.
	Address Value
	// Mask is subnet_mask, or the prefix length taken from multi_subnet.cidr where the table has subnet_id instead.
	Mask Value
	// Gateway is gateway.
	Gateway Value
	// DNS is dns.
	DNS Value
	// VLAN is vlan, a number in decimal.
	VLAN Value
	// MTU is mtu, a number in decimal. Null where the table has no such column.
	MTU Value
	// Committed says that netplan_success is 1. Any other value, NULL too, is a row that waits to become 1.
	Committed bool
	// UpdatedAt is updated_at or modified_at in UTC. Null where the table has neither.
	UpdatedAt Value
}
