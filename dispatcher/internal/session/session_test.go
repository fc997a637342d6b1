package session_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"multinic.dev/dispatcher/internal/reconcile"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

const (
	macA = "02:00:5e:00:53:0a"
	macB = "02:00:5e:00:53:0b"
)

func TestANodeGetsItsOwnWorkAndItsProofIsCommitted(t *testing.T) {
	d := start(t, "1, 'a', '"+macA+"', '192.0.2.10'", "2, 'b', '"+macB+"', '192.0.2.20'", "3, 'a', 'x', NULL")
	e := d.executor("a")
	work := e.work()
	got, err := protojson.Marshal(work)
	must(t, err)
	want := `{"generation":"1","items":[{"key":{"macAddress":"02:00:5e:00:53:0a"},"rowIds":["1"],"revision":"` + work.GetItems()[0].GetRevision() +
		`","spec":{"address":"192.0.2.10/24"}}]}`
	if compact := strings.ReplaceAll(string(got), " ", ""); compact != want {
		t.Errorf("work %s\nwant %s", compact, want)
	}
	e.report(ready(work)...)
	d.flagsBecome("1=1 2=0 3=0")
}

func TestAReportAboutRowsOfAnotherNodeCommitsNothing(t *testing.T) {
	d := start(t, "1, 'a', '"+macA+"', '192.0.2.10'", "2, 'b', '"+macB+"', '192.0.2.20'")
	a, b := d.executor("a"), d.executor("b")
	ofA, ofB := a.work(), b.work()
	// All that b could say of its own row, and a's own besides: once that is committed, the rest of the report was read too.
	a.report(append(ready(ofB), ready(ofA)...)...)
	d.flagsBecome("1=1 2=0")
	a.report(append(ready(ofB), ready(ofA)...)...)
	d.eventually("the reports are taken over", func(s reconcile.Stats) bool { return s.Reports == 4 })
	if got := d.flags(); got != "1=1 2=0" {
		t.Errorf("flags %s", got)
	}
	// The control: from b itself the same words are proof.
	b.report(ready(ofB)...)
	d.flagsBecome("1=1 2=1")
}

func TestWithoutAFirstReportThereIsNoWork(t *testing.T) {
	d := start(t, "1, 'a', '"+macA+"', '192.0.2.10'")
	e := d.dial()
	e.hello("a")
	// Another node's session that begins later is served meanwhile.
	d.executor("b").work()
	select {
	case response := <-e.received:
		t.Errorf("before the node's report: %v", response)
	default:
	}
	e.report()
	e.work()
}

func TestWithoutAReadOfTheTableThereIsNoWork(t *testing.T) {
	d := prepare(t)
	e := d.executor("a")
	_, err := multinicv1.NewFleetServiceClient(d.connection).GetNode(t.Context(), &multinicv1.GetNodeRequest{Name: "a"})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("GetNode before the table was read: %v", err)
	}
	select {
	case response := <-e.received:
		t.Errorf("before the table was read: %v", response)
	default:
	}
	d.insert("1, 'a', '" + macA + "', '192.0.2.10'")
	d.follow()
	if work := e.work(); len(work.GetItems()) != 1 {
		t.Errorf("the first work is %v", work)
	}
}

// TestAReportThatWasWithheldCommitsNothingThatItDoesNotProve is the lie that must not happen: an executor proves A while the
// row says B already, and while it says A again.
func TestAReportThatWasWithheldCommitsNothingThatItDoesNotProve(t *testing.T) {
	d := start(t, "1, 'a', '"+macA+"', '192.0.2.10'", "2, 'marker', '"+macB+"', '192.0.2.99'")
	marker := d.executor("marker")
	marker.report(ready(marker.work())...)
	d.flagsBecome("1=0 2=1")
	e := d.executor("a")
	first := e.workAt("192.0.2.10/24")

	d.sql("UPDATE multi_interface SET ip_address = '192.0.2.20' WHERE id = 1")
	second := e.workAt("192.0.2.20/24")
	d.commitsNothing(e, marker, ready(first), "1=0 2=1")

	d.sql("UPDATE multi_interface SET ip_address = '192.0.2.10' WHERE id = 1")
	third := e.workAt("192.0.2.10/24")
	if first.GetItems()[0].GetRevision() != third.GetItems()[0].GetRevision() {
		t.Fatalf("the same content has revisions %v and %v", first, third)
	}
	d.commitsNothing(e, marker, ready(first), "1=0 2=1")
	d.commitsNothing(e, marker, ready(second), "1=0 2=1")

	// The control: the same proof, at the generation that was made after the row was read again, is believed.
	e.report(ready(third)...)
	d.flagsBecome("1=1 2=1")
}

// commitsNothing sends a report, and proves that it leads to nothing: once the dispatcher has taken it over, a marker, which is
// another node's row, goes all the way from 0 to 1. Commits are made one after the other, so one of the report's own would have
// ended before.
func (d *dispatcher) commitsNothing(e, marker *executor, results []*multinicv1.WorkResult, want string) {
	d.t.Helper()
	before, err := d.reconciler.Stats()
	must(d.t, err)
	e.report(results...)
	d.eventually("the report is taken over", func(stats reconcile.Stats) bool { return stats.Reports > before.Reports })
	d.sql("UPDATE multi_interface SET netplan_success = 0 WHERE attached_node_name = 'marker'")
	marker.report(ready(marker.work())...)
	d.flagsBecome(want)
}

func TestOrderAndFormOfMessages(t *testing.T) {
	d := start(t)
	hello := func(name string) *multinicv1.SessionRequest {
		return &multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Hello{Hello: &multinicv1.Hello{NodeName: name}}}
	}
	report := func(results ...*multinicv1.WorkResult) *multinicv1.SessionRequest {
		return &multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Report{Report: &multinicv1.NodeReport{Results: results}}}
	}
	result := func(mac string, vlan uint32) *multinicv1.WorkResult {
		return &multinicv1.WorkResult{Key: &multinicv1.Key{MacAddress: mac, VlanId: vlan}}
	}
	many := make([]*multinicv1.WorkResult, 0, 129)
	for i := range 129 {
		many = append(many, result(macA, uint32(i)))
	}
	for _, test := range []struct {
		name  string
		sends []*multinicv1.SessionRequest
		want  string
	}{
		{"no Hello", []*multinicv1.SessionRequest{report()}, "the first message must be a Hello"},
		{"nothing in the message", []*multinicv1.SessionRequest{{}}, "the first message must be a Hello"},
		{"no name", []*multinicv1.SessionRequest{hello("")}, `node_name "" must have 1 to 512 bytes of UTF-8, not blanks alone`},
		{"a blank name", []*multinicv1.SessionRequest{hello(" ")}, `node_name " " must have 1 to 512 bytes of UTF-8, not blanks alone`},
		{"the name of no node", []*multinicv1.SessionRequest{hello("(no node)")},
			`node_name "(no node)": the name stands for the rows that belong to no node`},
		{"a long name", []*multinicv1.SessionRequest{hello(strings.Repeat("n", 513))}, `node_name "` + strings.Repeat("n", 512) + `" must have 1 to 512 bytes of UTF-8, not blanks alone`},
		{"Hello twice", []*multinicv1.SessionRequest{hello("a"), hello("a")}, "each message after the first must be a NodeReport"},
		{"a key that is none", []*multinicv1.SessionRequest{hello("a"), report(result("x", 0))}, `result 0 has the key "x", VLAN 0, which is none`},
		{"no key", []*multinicv1.SessionRequest{hello("a"), report(&multinicv1.WorkResult{})}, `result 0 has the key "", VLAN 0, which is none`},
		{"a VLAN that is none", []*multinicv1.SessionRequest{hello("a"), report(result(macA, 4095))}, `result 0 has the key "` + macA + `", VLAN 4095, which is none`},
		{"a key twice", []*multinicv1.SessionRequest{hello("a"), report(result(macA, 7), result(macA, 7))}, "two results have the key " + macA + ", VLAN 7"},
		{"too many results", []*multinicv1.SessionRequest{hello("a"), report(many...)}, "a report has 129 results; 128 are allowed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := d.dial()
			for _, request := range test.sends {
				e.send(request)
			}
			if err := e.end(); status.Code(err) != codes.InvalidArgument || status.Convert(err).Message() != test.want {
				t.Errorf("the stream ended with %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestASecondSessionReplacesTheFirst(t *testing.T) {
	d := start(t, "1, 'a', '"+macA+"', '192.0.2.10'")
	first := d.executor("a")
	work := first.work()
	second := d.executor("a")
	again := second.work()
	if drain := first.next().GetDrain(); drain.GetReason() != multinicv1.DrainReason_DRAIN_REASON_REPLACED {
		t.Errorf("the first was told %v", drain)
	}
	if err := first.end(); status.Code(err) != codes.Aborted {
		t.Errorf("the first ended with %v", err)
	}
	if work.GetGeneration() != 1 || again.GetGeneration() != 1 {
		t.Errorf("generations %d and %d", work.GetGeneration(), again.GetGeneration())
	}
	stats, err := d.reconciler.Stats()
	if err != nil || stats.ReplacedSessions != 1 || stats.Sessions != 1 {
		t.Errorf("stats %+v, error %v", stats, err)
	}
	second.report(ready(again)...)
	d.flagsBecome("1=1")
}

func TestADispatcherThatShutsDownSaysSo(t *testing.T) {
	d := start(t)
	e := d.executor("a")
	e.work()
	d.reconciler.Drain()
	if drain := e.next().GetDrain(); drain.GetReason() != multinicv1.DrainReason_DRAIN_REASON_SHUTDOWN {
		t.Errorf("told %v", drain)
	}
	if err := e.end(); status.Code(err) != codes.Unavailable {
		t.Errorf("ended with %v", err)
	}
	late := d.dial()
	late.hello("a")
	if err := late.end(); status.Code(err) != codes.Unavailable {
		t.Errorf("a session was opened by a dispatcher that shuts down: %v", err)
	}
}

func TestRowsThatComeBackUnderNewIDsAreProvedAndCommittedAnew(t *testing.T) {
	d := start(t, "1, 'a', '"+macA+"', '192.0.2.10'")
	e := d.executor("a")
	work := e.work()
	e.report(ready(work)...)
	d.flagsBecome("1=1")
	d.sql("DELETE FROM multi_interface")
	d.insert("2, 'a', '" + macA + "', '192.0.2.10'")
	for len(work.GetItems()) == 0 || work.GetItems()[0].GetRowIds()[0] != 2 {
		work = e.work()
	}
	e.report(ready(work)...)
	d.flagsBecome("2=1")
	d.sql("UPDATE multi_interface SET netplan_success = 0")
	e.report(ready(e.work())...)
	d.flagsBecome("2=1")
}

func TestADatabaseThatGoesAwayLosesNoResult(t *testing.T) {
	d := start(t, "1, 'a', '"+macA+"', '192.0.2.10'")
	e := d.executor("a")
	work := e.work()
	must(t, d.db.Kill())
	e.report(ready(work)...)
	d.eventually("the commit fails", func(stats reconcile.Stats) bool { return stats.FailedCommits > 0 })
	must(t, d.db.Restart())
	// What was proved so long ago is proved again before it is committed.
	again := e.work()
	if again.GetGeneration() <= work.GetGeneration() {
		t.Errorf("generation %d after %d", again.GetGeneration(), work.GetGeneration())
	}
	e.report(ready(again)...)
	d.flagsBecome("1=1")
}

func TestOperatorsSeeBothSides(t *testing.T) {
	d := start(t, "1, 'a', '"+macA+"', '192.0.2.10'", "2, 'a', '"+macB+"', '192.0.2.256'", "3, 'c', '"+macB+"', '192.0.2.30'")
	client := multinicv1.NewFleetServiceClient(d.connection)
	e := d.executor("a")
	work := e.work()
	failed := ready(work)
	failed[0].State, failed[0].Message = multinicv1.State_STATE_FAILED, "no luck"
	e.report(failed...)
	d.eventually("both reports are taken over", func(stats reconcile.Stats) bool { return stats.Reports == 2 })
	response, err := client.GetNode(t.Context(), &multinicv1.GetNodeRequest{Name: "a"})
	must(t, err)
	node := response.GetNode()
	each := node.GetInterfaces()[0]
	if each.GetDesired().GetSpec().GetAddress() != "192.0.2.10/24" || each.GetResult().GetMessage() != "no luck" || node.GetSession().GetGeneration() != 1 {
		t.Errorf("node %v", node)
	}
	rows := fmt.Sprint(node.GetRows()[0].GetVerdict(), node.GetRows()[1].GetVerdict(), " ", node.GetRows()[1].GetMessage())
	if rows != `ROW_VERDICT_ACCEPTED ROW_VERDICT_REFUSED ip_address "192.0.2.256": that is no IPv4 address: write it like 192.0.2.10, or leave it empty for none` {
		t.Errorf("rows %s", rows)
	}

	for _, test := range []struct {
		name    string
		request *multinicv1.ListNodesRequest
		want    string
	}{
		{"all", &multinicv1.ListNodesRequest{}, "a c"},
		{"a page", &multinicv1.ListNodesRequest{PageSize: 1}, "a …"},
		{"the next", &multinicv1.ListNodesRequest{PageSize: 1, PageToken: "YQ"}, "c"},
		{"by name", &multinicv1.ListNodesRequest{Filter: &multinicv1.NodeFilter{NamePrefix: "c"}}, "c"},
		{"connected", &multinicv1.ListNodesRequest{Filter: &multinicv1.NodeFilter{Connected: new(true)}}, "a"},
		{"not connected", &multinicv1.ListNodesRequest{Filter: &multinicv1.NodeFilter{Connected: new(false)}}, "c"},
		{"settled", &multinicv1.ListNodesRequest{Filter: &multinicv1.NodeFilter{Settled: new(true)}}, ""},
		{"negative", &multinicv1.ListNodesRequest{PageSize: -1}, "InvalidArgument"},
		{"a token of nobody's", &multinicv1.ListNodesRequest{PageToken: "?"}, "InvalidArgument"},
	} {
		var words []string
		response, err := client.ListNodes(t.Context(), test.request)
		for _, node := range response.GetNodes() {
			words = append(words, node.GetName())
		}
		if response.GetNextPageToken() != "" {
			words = append(words, "…")
		}
		if err != nil {
			words = append(words, status.Code(err).String())
		}
		if got := strings.Join(words, " "); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	if _, err := client.GetNode(t.Context(), &multinicv1.GetNodeRequest{Name: "nobody"}); status.Code(err) != codes.NotFound ||
		!strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("an unknown node: %v", err)
	}
	if _, err := client.GetNode(t.Context(), &multinicv1.GetNodeRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no name: %v", err)
	}
}

func TestANameThatIsNoTextHidesNobody(t *testing.T) {
	d := prepare(t)
	d.sql("ALTER TABLE multi_interface MODIFY attached_node_name VARBINARY(255)")
	d.insert("1, 'a', '"+macA+"', '192.0.2.10'", "2, x'61ff', '"+macB+"', '192.0.2.20'", "3, 'b', '"+macB+"', '192.0.2.20'")
	d.follow()
	d.eventually("the table is read", func(stats reconcile.Stats) bool { return stats.Nodes == 3 })
	var names []string
	token := ""
	for {
		page, err := multinicv1.NewFleetServiceClient(d.connection).ListNodes(t.Context(), &multinicv1.ListNodesRequest{PageSize: 1, PageToken: token})
		must(t, err)
		names = append(names, page.GetNodes()[0].GetName())
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if got := strings.Join(names, " "); got != "a a\uFFFD b" {
		t.Errorf("nodes %s", got)
	}
}

func TestAPageIsNoLargerThanAClientTakes(t *testing.T) {
	d := prepare(t)
	const nodes, each = 1000, 40
	d.sql("INSERT INTO multi_interface (attached_node_name, mac_address, ip_address, subnet_mask) SELECT CONCAT('node-', seq DIV 40)," +
		" CONCAT('02:00:5e:00:', LPAD(HEX(seq DIV 40 % 256), 2, '0'), ':', LPAD(HEX(seq % 40), 2, '0'))," +
		" REPEAT('x', 15), '24' FROM seq_0_to_39999")
	d.follow()
	d.eventually("the table is read", func(stats reconcile.Stats) bool { return stats.RefusedRows == nodes*each })
	seen, pages, token := map[string]bool{}, 0, ""
	for ; pages == 0 || token != ""; pages++ {
		page, err := multinicv1.NewFleetServiceClient(d.connection).ListNodes(t.Context(), &multinicv1.ListNodesRequest{PageSize: nodes, PageToken: token})
		must(t, err)
		for _, node := range page.GetNodes() {
			seen[node.GetName()] = true
		}
		token = page.GetNextPageToken()
	}
	if len(seen) != nodes || pages < 2 {
		t.Errorf("%d nodes on %d pages", len(seen), pages)
	}
}
