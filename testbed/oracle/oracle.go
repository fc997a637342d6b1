// Package oracle says in which points a node's kernel is not what the rows of the table ask for.
//
// It is independent of what it judges: it reads with `ip`, and knows the layout from the documentation, not from the
// programs. Two texts are compared, line by line: what the rows ask for, and all that is multinic's in the kernel.
package oracle

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Row is a row of the table, as far as it concerns a node's kernel. Text is as the table has it.
type Row struct {
	// MAC is the address of the card, in lower case with colons. Several rows may have it, each with a VLAN of its own.
	MAC string
	// VLAN is the id of the VLAN whose link, on top of the card's, has the address; 0: the card's link itself has it.
	VLAN int
	// Address is the IPv4 address; empty: none.
	Address string
	// Mask is "255.255.255.0" or "24".
	Mask string
	// Gateway is the next hop; empty or "0.0.0.0": none.
	Gateway string
	// MTU is that of the link that has the address, in bytes; 0: whatever the link has.
	MTU int
}

// Expect is what the rows of a node do not say.
type Expect struct {
	// Names are the names of cards by their MAC, for those that were named earlier. The others take the lowest names
	// that are left, in the order of their MACs.
	Names map[string]string
	// Without are the MACs of rows that are not to be carried out: the card is absent, or must be left alone. "MAC
	// VLAN", such as "02:00:00:00:00:01 100", is that one row.
	Without []string
	// ByManager says that a network manager has set all up, which marks rules as static, whoever's they are.
	ByManager bool
	// Adopted says that addresses may be from before they were multinic's, when the kernel made a route in `main` for each. That route
	// must be gone all the same.
	Adopted bool
}

// Kernel is that of the node that is judged: a namespace, or a machine.
type Kernel interface {
	// Output runs a program on the node as root, and returns what it prints; or an error, if it exits with another code than 0.
	Output(ctx context.Context, name string, args ...string) ([]byte, error)
}

// Check reads a node and returns what is wrong with it, a sentence each; nothing when the kernel is exactly what the
// rows say. It compares all that is multinic's, so what no row explains is wrong as well.
func Check(ctx context.Context, node Kernel, rows []Row, expect Expect) ([]string, error) {
	want, err := wanted(rows, expect)
	if err != nil {
		return nil, err
	}
	has, err := read(ctx, node, rows)
	if err != nil {
		return nil, err
	}
	for _, lines := range [][]string{want, has} {
		for i, line := range lines {
			switch {
			case expect.ByManager && strings.HasPrefix(line, "rule "):
				lines[i] = strings.TrimSuffix(strings.TrimSuffix(line, " protocol "+ourProtocol), " protocol "+static)
			case expect.Adopted && strings.HasPrefix(line, "address "):
				lines[i] = strings.TrimSuffix(line, " noprefixroute")
			}
		}
	}
	return differences(want, has), nil
}

// static is the number of the protocol with which network managers mark what they have set up.
const static = "4"

// differences words which lines are in only one of two texts. A line that one has twice the other must have twice.
func differences(want, has []string) []string {
	count := map[string]int{}
	for _, line := range want {
		count[line]++
	}
	for _, line := range has {
		count[line]--
	}
	var wrong []string
	for line, n := range count {
		switch {
		case n > 0:
			wrong = append(wrong, fmt.Sprintf("missing: %s", line))
		case n < 0:
			wrong = append(wrong, fmt.Sprintf("unexpected: %s", line))
		}
	}
	slices.Sort(wrong)
	return wrong
}
