package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tables are what a table is, one look after the other.
func tables() [][][]string {
	row := func(card int, flag string) []string {
		return []string{"node-1", fmt.Sprint("02:00:5e:00:01:0", card), fmt.Sprint("192.0.2.10", card, "/24"), flag}
	}
	return [][][]string{{row(0, "0"), row(1, "0")}, {row(0, "0"), row(1, "0")}, {row(0, "0"), row(1, "1")}}
}

// shown is what a reader of the other end gets when all tables were drawn.
func shown(t *testing.T, reader, writer *os.File) string {
	t.Helper()
	const enough = "the end"
	screen := newScreen(writer)
	for _, table := range tables() {
		screen.draw(table)
	}
	if _, err := writer.WriteString(enough); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for some := make([]byte, 4096); !strings.HasSuffix(text.String(), enough); {
		n, err := reader.Read(some)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(some[:n])
	}
	return strings.TrimSuffix(text.String(), enough)
}

func TestOutputThatIsNoTerminalHasALineForEachChange(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = reader.Close(), writer.Close() }()
	const want = `  node     mac_address        address                        netplan_success
  node-1   02:00:5e:00:01:00  192.0.2.100/24                 0
  node-1   02:00:5e:00:01:01  192.0.2.101/24                 0
  node-1   02:00:5e:00:01:01  192.0.2.101/24                 1
`
	if got := shown(t, reader, writer); got != want {
		t.Errorf("shown:\n%s\nwant:\n%s", got, want)
	}
}

func TestATerminalHasTheTableInOnePlace(t *testing.T) {
	reader, writer := terminal(t)
	const (
		heading = "  node     mac_address        address                        netplan_success\r\n"
		first   = "  node-1   02:00:5e:00:01:00  192.0.2.100/24                 0\r\n"
		second  = "  node-1   02:00:5e:00:01:01  192.0.2.101/24                 "
		again   = "\x1b[3F\x1b[J" + heading + first + second
	)
	want := heading + first + second + "0\r\n" + again + "0\r\n" + again + "1\r\n"
	if got := shown(t, reader, writer); got != want {
		t.Errorf("shown:\n%q\nwant:\n%q", got, want)
	}
}

// terminal is both ends of a pseudo-terminal, pty(7): what is written to the second is what a person would see at the first.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatalf("unlock the terminal: %v", err)
	}
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatalf("ask for the terminal's number: %v", err)
	}
	program, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return person, program
}
