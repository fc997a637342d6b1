package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"multinic.dev/lab/fleet"
	"multinic.dev/lab/program"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
)

const (
	nodes = 3
	cards = 4
	// poll is the dispatcher's default: what is shown is what an installation would be like.
	poll = time.Second
	// look is how often the table is looked at.
	look = 100 * time.Millisecond
	// enough is when something is wrong.
	enough = time.Minute
)

// perform plays the demo. The folder is where a fleet that goes on keeps its socket; empty: it ends with the demo.
func perform(ctx context.Context, programs program.Programs, folder string) error {
	fmt.Printf("This starts, in namespaces of its own: a MariaDB server with a generated password, one dispatcher,"+
		" and %d nodes with an executor and %d NICs each.\n"+
		"It needs root or unprivileged user namespaces, and neither reads nor changes anything outside.\n\n", nodes, cards)
	return play(func(s *stage) error {
		f := fleet.New(s, fleet.Settings{Programs: programs, Poll: poll, Dir: folder})
		rows := build(s, f)
		if ctx.Err() != nil {
			return interrupted(context.Cause(ctx))
		}
		began := time.Now()
		fmt.Printf("A controller inserts %d rows into multi_interface, each with netplan_success = 0:\n\n", len(rows))
		f.Insert(rows...)
		if err := show(ctx, f, newScreen(os.Stdout)); err != nil {
			return err
		}
		fmt.Printf("\nAll %d rows are 1 after %.1f s: each was configured on its node and read back from the node's kernel.\n",
			len(rows), time.Since(began).Seconds())
		if err := judge(f, rows); err != nil {
			return err
		}
		advise(folder)
		if folder == "" {
			return nil
		}
		fmt.Println(upAndRunning)
		<-ctx.Done()
		return nil
	})
}

// interrupted is the error of a demo that was ended early.
func interrupted(err error) error { return fmt.Errorf("ended early: %w", err) }

// build makes the fleet, and returns the rows for it: of each node's cards two in the nodes' own subnet, and two in another, with
// a gateway of its own.
func build(s *stage, f *fleet.Fleet) []fleet.Row {
	f.StartDispatcher()
	wire := node.NewWire(s, "wire")
	wire.AddHost("gateway", "192.0.2.1/24")
	wire.AddHost("gateway2", "198.51.100.1/24")
	var rows []fleet.Row
	for i := range nodes {
		n := f.AddNode(fmt.Sprint("node-", i+1))
		n.Underlay("eth0", mac(i, cards), fmt.Sprintf("192.0.2.%d/24", 10+i), "192.0.2.1", 100, wire)
		for card := range cards {
			n.PlugIn(fmt.Sprint("ens", card), mac(i, card), wire)
			row := fleet.Row{Node: n.Name(), MAC: mac(i, card), Address: fmt.Sprintf("192.0.2.%d", 100+10*i+card), Mask: "255.255.255.0", Gateway: "192.0.2.1"}
			if card >= cards/2 {
				row.Address, row.Gateway = fmt.Sprintf("198.51.100.%d", 100+10*i+card), "198.51.100.1"
			}
			rows = append(rows, row)
		}
		n.StartExecutor()
	}
	return rows
}

func mac(node, card int) string { return fmt.Sprintf("02:00:5e:00:%02x:%02x", node+1, card) }

// show shows the table until each row is 1.
func show(ctx context.Context, f *fleet.Fleet, screen *screen) error {
	ctx, cancel := context.WithTimeoutCause(ctx, enough, fmt.Errorf("after %v some rows still are not 1", enough))
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		table, err := f.DB.Query(ctx, "SELECT attached_node_name, mac_address, CONCAT(ip_address, '/', subnet_mask), netplan_success"+
			" FROM multi_interface ORDER BY id")
		if err != nil && ctx.Err() == nil {
			return err
		}
		if err == nil {
			screen.draw(table)
			if done(table) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return interrupted(context.Cause(ctx))
		case <-tick.C:
		}
	}
}

// done says whether each row is 1.
func done(table [][]string) bool {
	for _, row := range table {
		if row[len(row)-1] != "1" {
			return false
		}
	}
	return len(table) > 0
}

// judge asks the oracle, which shares no code with the programs, whether the flags are true, and shows one node.
func judge(f *fleet.Fleet, rows []fleet.Row) error {
	for _, n := range f.Nodes() {
		if wrong := n.Judge(oracle.Expect{}, rows...); wrong != "" {
			return errors.New("the kernel of " + n.Name() + " is not what the rows say:\n" + wrong)
		}
	}
	first := f.Nodes()[0]
	fmt.Printf("\nWhat the kernel of %s has now:\n%s", first.Name(), indented(first.IP("-brief", "-4", "address")))
	return nil
}

func indented(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString("  " + line)
	}
	return out.String()
}

// advise says what to try next.
func advise(folder string) {
	if folder == "" {
		folder = keptFolder()
		fmt.Print("\nThe fleet ends now. To look around in one that goes on, say: make demo KEEP=1, and then:\n")
	} else {
		fmt.Print("\nThe fleet goes on in the background. Look around:\n")
	}
	socket := folder + "/dispatcher.sock"
	fmt.Printf("  bin/grpcurl -plaintext -unix %[1]s list\n"+
		"  bin/grpcurl -plaintext -unix -d '{\"name\": \"node-1\"}' %[1]s multinic.v1.FleetService/GetNode\n"+
		"  bin/grpcurl -plaintext -unix -d '{\"filter\": {\"settled\": false}}' %[1]s multinic.v1.FleetService/ListNodes\n"+
		"and end it with:\n  %[2]s/stop\n", socket, folder)
}
