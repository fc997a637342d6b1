// Package check says whether an installation works, as one of its operators sees it.
package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"multinic.dev/dispatcher/internal/reconcile"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// maxNamed is how many nodes an error names; each is in the lines anyway.
const maxNamed = 20

// picture is what is kept of a fleet, so that its nodes themselves need not be: a line for each, and what the verdict needs.
type picture struct {
	lines []string
	// nodes are how many there are, and sessions how many of them are in session.
	nodes, sessions int
	// unserved are the names of nodes that have rows and no session.
	unserved []string
}

// add takes a node in.
func (p *picture) add(node *multinicv1.Node) {
	p.lines = append(p.lines, line(node))
	if node.GetName() == reconcile.NoNode {
		return
	}
	p.nodes++
	switch {
	case node.GetSession() != nil:
		p.sessions++
	case len(node.GetRows()) > 0:
		p.unserved = append(p.unserved, word(node.GetName()))
	}
}

// verdict says why the installation does not work, with what to do about it; nil: it works. What became of single rows is no part of it: it is the
// table's, or a node's, and the lines say it.
func (p *picture) verdict(least int) error {
	switch {
	case len(p.unserved) > 0:
		named, more := p.unserved, ""
		if len(named) > maxNamed {
			named, more = named[:maxNamed], fmt.Sprintf(" and %d more", len(p.unserved)-maxNamed)
		}

		return fmt.Errorf("%d of the nodes that have rows have no session: %s%s; look at the log of the executor there, "+
			"or correct attached_node_name where that is no node of this cluster", len(p.unserved), strings.Join(named, ", "), more)
	case p.sessions < least:
		return fmt.Errorf("%d nodes are in session, and %d should be (--min-sessions): look at the DaemonSet of the executors, and at their logs",
			p.sessions, least)
	}

	return nil
}

// line words a node in one line: its session, its interfaces with their states and reasons, and how many of its rows are done.
func line(node *multinicv1.Node) string {
	parts := []string{word(node.GetName()) + ": " + session(node)}
	for _, one := range node.GetInterfaces() {
		parts = append(parts, nic(one))
	}

	return strings.Join(append(parts, rows(node.GetRows())), "; ")
}

func session(node *multinicv1.Node) string {
	switch {
	case node.GetName() == reconcile.NoNode:
		return "rows whose attached_node_name is no node's"
	case node.GetSession() == nil:
		return "no session"
	default:
		return "in session since " + node.GetSession().GetConnectedAt().AsTime().UTC().Format(time.RFC3339)
	}
}

// nic words an interface: its name on the node, or its key where it has none yet.
func nic(one *multinicv1.NodeInterface) string {
	name := one.GetResult().GetInterfaceName()
	if name == "" {
		name = one.GetKey().GetMacAddress()
		if vlan := one.GetKey().GetVlanId(); vlan != 0 {
			name += " VLAN " + strconv.FormatUint(uint64(vlan), 10)
		}
	}
	state := "not reported yet"
	if result := one.GetResult(); result != nil {
		state = strings.TrimPrefix(result.GetState().String(), "STATE_")
		if result.GetReason() != multinicv1.Reason_REASON_UNSPECIFIED {
			state += " (" + strings.TrimPrefix(result.GetReason().String(), "REASON_") + ")"
		}
	}
	if one.GetHold() != nil {
		state += ", held: " + strings.TrimPrefix(one.GetHold().GetReason().String(), "HOLD_REASON_")
	}

	return word(name) + " " + state
}

// rows words how many rows are 1, and which verdicts keep others from it.
func rows(all []*multinicv1.NodeRow) string {
	done, refused := 0, map[string]int{}
	for _, one := range all {
		if one.GetNetplanSuccess() {
			done++
		}
		if verdict := one.GetVerdict(); verdict != multinicv1.RowVerdict_ROW_VERDICT_ACCEPTED {
			refused[strings.TrimPrefix(verdict.String(), "ROW_VERDICT_")]++
		}
	}
	text := fmt.Sprintf("%d of %d rows are 1", done, len(all))
	var verdicts []string
	for verdict, count := range refused {
		verdicts = append(verdicts, fmt.Sprintf(", %d %s", count, verdict))
	}
	slices.Sort(verdicts)

	return text + strings.Join(verdicts, "")
}

// word is a text of others' that goes into a line: quoted where it could be taken for something else, or could steer a terminal.
func word(text string) string {
	if quoted := strconv.QuoteToASCII(text); text == "" || quoted != `"`+text+`"` {
		return quoted
	}

	return text
}
