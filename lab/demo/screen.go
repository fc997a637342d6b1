package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// screen shows a table that changes: redrawn in its place on a terminal, else a line for each row that is new or has changed.
type screen struct {
	out      *os.File
	terminal bool
	drawn    [][]string
}

func newScreen(out *os.File) *screen {
	_, err := unix.IoctlGetTermios(int(out.Fd()), unix.TCGETS)
	return &screen{out: out, terminal: err == nil}
}

// draw shows the table as it is now; the last column of a row is its flag.
func (s *screen) draw(table [][]string) {
	var text strings.Builder
	if s.terminal && len(s.drawn) > 0 {
		// Up to the first line of what was drawn last, and clear from there on.
		fmt.Fprintf(&text, "\x1b[%dF\x1b[J", len(s.drawn)+1)
	}
	if s.terminal || len(s.drawn) == 0 {
		fmt.Fprintf(&text, "  %-8s %-18s %-30s %s\n", "node", "mac_address", "address", "netplan_success")
	}
	for i, row := range table {
		if s.terminal || i >= len(s.drawn) || !slices.Equal(row, s.drawn[i]) {
			fmt.Fprintf(&text, "  %-8s %-18s %-30s %s\n", row[0], row[1], row[2], row[3])
		}
	}
	s.drawn = table
	_, _ = s.out.WriteString(text.String()) // Nobody looks any more.
}
