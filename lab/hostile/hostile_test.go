package hostile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"multinic.dev/lab/fleet"
	multinicv1 "multinic.dev/proto/multinic/v1"
	"multinic.dev/testbed/monitor"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
)

// interfaces is how many of the rows' interfaces the node makes: as many as it can.
const interfaces = 10

// TestEachRowMeansWhatItSaysOrIsRefusedWithItsReason writes the whole table in one transaction, and holds all that becomes of it
// against what the table says.
func TestEachRowMeansWhatItSaysOrIsRefusedWithItsReason(t *testing.T) {
	for _, s := range shapes() {
		t.Run(s.name, func(t *testing.T) {
			p := prepare(t, s)
			p.insert()
			p.expectOutcomes()
			p.expectFlags()
			p.expectOneActivation()
			p.expectForeignLinksUntouched()
			p.expectInterfaces()
			p.expectStateDirClean()
			p.expectLogsWhole()
			p.expectControls()
		})
	}
}

// play is a fleet whose table has a shape, and one node with cards, which is told to have nothing yet.
type play struct {
	*testing.T

	shape   shape
	rows    []hostile
	fleet   *fleet.Fleet
	node    *fleet.Node
	monitor *monitor.Monitor
}

func prepare(t *testing.T, s shape) *play {
	t.Helper()
	f := fleet.New(t, fleet.Settings{Programs: programs, Poll: 20 * time.Millisecond, Prepare: "DROP TABLE multi_interface; " + s.create})
	n := f.AddNode(nodeName)
	// Or each link would give itself an IPv6 address some time after it came up, and say so, while the test listens for silence.
	n.Set("net/ipv6/conf/default/disable_ipv6", "1")
	n.Underlay("eth0", ownCard, "192.0.2.10/24", "192.0.2.1", 100, node.NewWire(t, "underlay"))
	wire := node.NewWire(t, "wire")
	for card := range interfaces {
		n.PlugIn(fmt.Sprint("ens", card), mac(card), wire)
	}
	for name, mac := range foreignCards() {
		n.PlugIn(name, mac, wire)
	}
	p := &play{T: t, shape: s, rows: s.rows(), fleet: f, node: n}
	f.StartDispatcher()
	n.StartExecutor()
	f.AwaitSession(nodeName)
	p.awaitCarriers(1) // eth0
	p.monitor = monitor.Start(t, n.Node)
	for _, name := range foreignLinks() {
		n.IP("link", "set", name, "mtu", "1500") // So that the monitor learns their names.
	}
	p.monitor.Mark(t)

	return p
}

// foreignCards are the cards that are refused, by the names of their links, in addition to eth0.
func foreignCards() map[string]string {
	return map[string]string{"second": secondCard, "swallow": swallowCard, "taken": addressCard, "bait": baitCard, "eleventh": eleventhCard}
}

func foreignLinks() []string {
	return append(slices.Sorted(maps.Keys(foreignCards())), "eth0")
}

// insert writes the rows, and as many more as it takes for some to be past the limit.
func (p *play) insert() {
	p.Helper()
	var fill []hostile
	for i := range int64(mostItems) {
		fill = append(fill, hostile{id: 5000 + i, cells: cells{"mac_address": fmt.Sprintf("f2:00:5e:00:00:%02x", i)}})
	}
	p.fleet.SQL(p.shape.insert(slices.Concat(p.rows, fill)))
}

// nodes are all nodes of which the dispatcher knows.
func (p *play) nodes() []*multinicv1.Node {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), fleet.Patience)
	defer cancel()
	var all []*multinicv1.Node
	for token, more := "", true; more; more = token != "" {
		page, err := p.fleet.API.ListNodes(ctx, &multinicv1.ListNodesRequest{PageToken: token, PageSize: 5})
		if err != nil {
			p.Fatal(err)
		}
		all, token = append(all, page.GetNodes()...), page.GetNextPageToken()
	}

	return all
}

// outcome words what became of a row: what was made of it, of which node if that is another, and what the node says of it.
func outcome(nodes []*multinicv1.Node, id int64) string {
	for _, each := range nodes {
		for _, row := range each.GetRows() {
			if row.GetId() != id {
				continue
			}
			words := strings.ToLower(strings.TrimPrefix(row.GetVerdict().String(), "ROW_VERDICT_"))
			switch row.GetVerdict() {
			case multinicv1.RowVerdict_ROW_VERDICT_ACCEPTED:
				words += " as " + accepted(each, row.GetKey())
			default:
				words += ": " + row.GetMessage()
			}
			if each.GetName() != nodeName {
				words = fmt.Sprintf("of %q: ", each.GetName()) + words
			}

			return words
		}
	}

	return "of no node"
}

// accepted words an interface of a node: what it should be, and what the node says of it.
func accepted(n *multinicv1.Node, key *multinicv1.Key) string {
	i := slices.IndexFunc(n.GetInterfaces(), func(one *multinicv1.NodeInterface) bool { return proto.Equal(one.GetKey(), key) })
	if i < 0 {
		return "nothing"
	}
	one := n.GetInterfaces()[i]
	spec := one.GetDesired().GetSpec()
	words := []string{key.GetMacAddress()}
	if spec.GetAddress() != "" {
		words = append(words, spec.GetAddress())
	}
	if spec.GetGateway() != "" {
		words = append(words, "via", spec.GetGateway())
	}
	if len(spec.GetDnsServers()) > 0 {
		words = append(append(words, "dns"), spec.GetDnsServers()...)
	}
	if spec.GetMtu() != 0 {
		words = append(words, "mtu", strconv.Itoa(int(spec.GetMtu())))
	}
	text := strings.Join(words, " ")
	if result := one.GetResult(); result != nil {
		text += ", " + strings.TrimPrefix(result.GetState().String(), "STATE_")
		if result.GetReason() != multinicv1.Reason_REASON_UNSPECIFIED {
			text += " " + strings.TrimPrefix(result.GetReason().String(), "REASON_") + ": " + result.GetMessage()
		}
	}

	return text
}

// mismatches says of which rows something else became than they say.
func mismatches(nodes []*multinicv1.Node, rows []hostile) []string {
	var wrong []string
	for _, row := range rows {
		if got := outcome(nodes, row.id); got != row.want {
			wrong = append(wrong, fmt.Sprintf("%s (row %d):\n  %s\nwant\n  %s", row.what, row.id, got, row.want))
		}
	}

	return wrong
}

// settled waits until of each row has become what it says, and fails the test with those of which it has not.
func (p *play) settled(rows []hostile) {
	p.Helper()
	var wrong []string
	p.fleet.Until(func() bool { wrong = mismatches(p.nodes(), rows); return len(wrong) == 0 },
		func() string {
			return fmt.Sprintf("%d of %d rows are not as they should be:\n%s", len(wrong), len(rows), strings.Join(wrong, "\n"))
		})
}

// awaitCarriers waits until so many links are up: a moment after a link came up, it says by itself that it has a carrier.
func (p *play) awaitCarriers(links int) {
	p.Helper()
	said := ""
	p.fleet.Until(func() bool { said = p.node.IP("link"); return strings.Count(said, " state UP ") == links }, func() string { return said })
}

func (p *play) expectOutcomes() {
	p.Helper()
	if len(p.rows) < 60 {
		p.Fatalf("only %d rows are hostile", len(p.rows))
	}
	p.settled(p.rows)
	var view *multinicv1.Node
	p.fleet.Until(func() bool {
		view = p.fleet.View(nodeName)
		return slices.ContainsFunc(p.nodes(), func(n *multinicv1.Node) bool { return proto.Equal(n, view) })
	}, func() string { return fmt.Sprintf("GetNode says of %s what ListNodes does not: %v", nodeName, view) })
	items, surplus := 0, 0
	for _, one := range view.GetInterfaces() {
		if one.GetDesired() != nil {
			items++
		}
	}
	for _, row := range view.GetRows() {
		if strings.HasPrefix(row.GetMessage(), "the node has more than 64 interfaces") {
			surplus++
		}
		if len(row.GetMessage()) > 512 || strings.ContainsFunc(row.GetMessage(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			p.Errorf("a message of row %d that is long, or not of one line: %q", row.GetId(), row.GetMessage())
		}
	}
	if items != mostItems || surplus < 2 {
		p.Errorf("%d items and %d rows past the limit", items, surplus)
	}
}

// expectFlags holds the flags against the outcomes: those of good rows are 1, and all others are what they were.
func (p *play) expectFlags() {
	p.Helper()
	want := make(map[string]string, len(p.rows))
	for _, row := range p.rows {
		flag := strings.Replace(row.all()["netplan_success"], null, "NULL", 1)
		if strings.HasSuffix(row.want, ", READY") {
			flag = "1"
		}
		want[strconv.FormatInt(row.id, 10)] = flag
	}
	wrong := ""
	p.fleet.Until(func() bool {
		got, err := p.fleet.DB.Query(p.Context(), "SELECT id, netplan_success FROM multi_interface WHERE id NOT BETWEEN 5000 AND 5999")
		if err != nil {
			p.Fatal(err)
		}
		wrong = ""
		for _, row := range got {
			if want[row[0]] != row[1] {
				wrong += fmt.Sprintf("the flag of row %s is %s, not %s\n", row[0], row[1], want[row[0]])
			}
		}

		return wrong == "" && len(got) == len(want)
	}, func() string { return wrong })
}

// expectOneActivation says that all good rows were applied together, and nothing was tried twice.
func (p *play) expectOneActivation() {
	p.Helper()
	numbers := p.metrics()
	for _, want := range []string{
		"multinic_executor_apply_duration_seconds_count 1", fmt.Sprintf(`multinic_executor_applies_total{outcome="ready"} %d`, interfaces),
		`multinic_executor_applies_total{outcome="failed"} 0`,
	} {
		if !strings.Contains(numbers, "\n"+want+"\n") {
			p.Errorf("the executor's metrics lack %s", want)
		}
	}
	if got := strings.Count(p.node.Executor.Log(), `"apply started"`); got != interfaces {
		p.Errorf("the executor began with %d interfaces, not %d", got, interfaces)
	}
}

// expectForeignLinksUntouched says that the kernel has said nothing of a link that is not multinic's.
func (p *play) expectForeignLinksUntouched() {
	p.Helper()
	heard := map[string]int{}
	for _, event := range p.monitor.Mark(p) {
		heard[event.Link]++
		if slices.Contains(foreignLinks(), event.Link) {
			p.Errorf("a foreign link was touched: %v", event)
		}
	}
	for number := range interfaces {
		if name := fmt.Sprint("multinic", number); heard[name] == 0 {
			p.Errorf("nothing was heard of %s, so silence proves nothing: %v", name, heard)
		}
	}
}

// expectInterfaces has the oracle compare the kernel with what was accepted and is said to be ready.
func (p *play) expectInterfaces() {
	p.Helper()
	rows := p.ready()
	if len(rows) != interfaces {
		p.Errorf("%d interfaces are ready, not %d", len(rows), interfaces)
	}
	if wrong := p.node.Judge(oracle.Expect{}, rows...); wrong != "" {
		p.Errorf("the kernel:\n%s", wrong)
	}
}

// ready are the interfaces that the node says are ready, as rows. That the dispatcher asks for what the table says is known by then.
func (p *play) ready() []fleet.Row {
	p.Helper()
	var rows []fleet.Row
	for _, one := range p.fleet.View(nodeName).GetInterfaces() {
		if one.GetResult().GetState() != multinicv1.State_STATE_READY {
			continue
		}
		spec := one.GetResult().GetObserved()
		row := fleet.Row{Node: nodeName, MAC: one.GetKey().GetMacAddress(), Gateway: one.GetDesired().GetSpec().GetGateway()}
		if asked := one.GetDesired().GetSpec().GetAddress(); asked != "" {
			prefix, err := netip.ParsePrefix(asked)
			if err != nil || !slices.Equal(spec.GetAddresses(), []string{asked}) {
				p.Fatalf("asked for %q (%v), and there is %v", asked, err, spec.GetAddresses())
			}
			row.Address, row.Mask = prefix.Addr().String(), strconv.Itoa(prefix.Bits())
		}
		row.MTU = int(one.GetDesired().GetSpec().GetMtu())
		rows = append(rows, row)
	}

	return rows
}

// expectStateDirClean says that the executor has written nothing of a row that cannot be used.
func (p *play) expectStateDirClean() {
	p.Helper()
	if got := p.inStateDir("10.1.0.10/24"); got == "" {
		p.Error("the state directory has nothing of a good row either")
	}
	good := ""
	for _, row := range p.rows {
		if strings.HasSuffix(row.want, ", READY") {
			good += row.want + "\n"
		}
	}
	looked := 0
	for _, row := range p.rows {
		for column, text := range row.all() {
			// What is shorter is found in any file, and what a good row has may be there.
			if len(text) < 4 || text == null || strings.Contains(good, text) {
				continue
			}
			looked++
			if path := p.inStateDir(text); path != "" {
				p.Errorf("%s has %s of the row with %s: %.100q", path, column, row.what, text)
			}
		}
	}
	if looked < len(p.rows) {
		p.Errorf("only %d texts were looked for", looked)
	}
}

// inStateDir is a file of the executor's state directory that has a text in it, as it is or as JSON has it, or in its name; empty:
// there is none.
func (p *play) inStateDir(text string) (found string) {
	p.Helper()
	quoted, err := json.Marshal(text)
	if err != nil {
		p.Fatal(err)
	}
	quoted = quoted[1 : len(quoted)-1]
	err = filepath.WalkDir(p.node.StateDir(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(text)) || bytes.Contains(data, quoted) || strings.Contains(filepath.Base(path), text) {
			found = path
		}

		return err
	})
	if err != nil {
		p.Fatal(err)
	}

	return found
}

// expectLogsWhole says that each line of both logs is one JSON object.
func (p *play) expectLogsWhole() {
	p.Helper()
	for name, log := range map[string]string{"dispatcher": p.fleet.Dispatcher.Log(), "executor": p.node.Executor.Log()} {
		if broken := brokenLines(log); len(broken) > 0 || strings.Count(log, "\n") < 3 {
			p.Errorf("the %s's log of %d lines has lines that are no JSON objects: %q", name, strings.Count(log, "\n"), broken)
		}
	}
}

// expectControls says that what found nothing wrong finds something where there is.
func (p *play) expectControls() {
	p.Helper()
	nodes := p.nodes()
	for i, row := range p.rows {
		others := slices.Clone(p.rows)
		others[i].want = row.want + "."
		if wrong := mismatches(nodes, others); len(wrong) != 1 || !strings.Contains(wrong[0], row.what) {
			p.Fatalf("another outcome was expected of %s, and %d were found to be wrong: %v", row.what, len(wrong), wrong)
		}
	}
	p.node.IP("link", "set", "bait", "mtu", "1400")
	if events := p.monitor.Mark(p); !slices.ContainsFunc(events, func(e monitor.Event) bool { return e.Link == "bait" }) {
		p.Errorf("a foreign link was touched, and what was heard is %v", events)
	}
	if broken := brokenLines("{\"a\": \"b\nc\"}\n{}\n"); len(broken) != 2 {
		p.Errorf("a broken line was taken for %q", broken)
	}
}
