// Package kill_test kills everything that a fleet is made of, again and again, while its rows change, and holds what is left against
// them.
package kill_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"multinic.dev/lab/fleet"
	"multinic.dev/lab/program"
	multinicv1 "multinic.dev/proto/multinic/v1"
	"multinic.dev/testbed/node"
	"multinic.dev/testbed/oracle"
	"multinic.dev/testbed/sandbox"
	"multinic.dev/testbed/snapshot"
)

// programs are built once for all tests.
var programs program.Programs

func TestMain(m *testing.M) {
	sandbox.Main(m, program.Fixture(&programs))
}

const (
	// seedEnv repeats a run: its value is the seed that the run has logged.
	seedEnv = "MULTINIC_SEED"
	// kills is how often each kind is killed, and inTransaction how often an executor at least while it changes something.
	kills, inTransaction = 100, 30
	nodes, cards         = 2, 3
)

// scene is a fleet under fire.
type scene struct {
	*testing.T

	random *rand.Rand
	fleet  *fleet.Fleet
	rows   []fleet.Row
	// caught is how many executors were killed in the middle of a transaction, as their journals say.
	caught int
}

// TestWhateverIsKilledTheRowsAndTheNodesAgreeInTheEnd changes rows all the time and kills executors, the dispatcher and the database at
// random moments.
func TestWhateverIsKilledTheRowsAndTheNodesAgreeInTheEnd(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedEnv); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedEnv, err)
		}
	}
	t.Logf("%s=%d", seedEnv, seed)
	s := &scene{T: t, random: rand.New(rand.NewPCG(seed, 0)), fleet: fleet.New(t, fleet.Settings{Programs: programs})}
	s.build()
	before := map[string]snapshot.Snapshot{}
	for _, n := range s.fleet.Nodes() {
		before[n.Name()] = s.foreign(n)
	}
	s.dispatcher()
	for _, n := range s.fleet.Nodes() {
		n.StartExecutor()
	}
	s.fleet.AwaitAll()

	victims := make([]func(), 0, 3*kills)
	for range kills {
		victims = append(victims, s.killExecutor, s.killDispatcher, s.killDatabase)
	}
	s.random.Shuffle(len(victims), func(i, j int) { victims[i], victims[j] = victims[j], victims[i] })
	for _, kill := range victims {
		kill()
	}
	for extra := 0; s.caught < inTransaction && extra < kills; extra++ {
		s.killExecutor()
	}
	t.Logf("%d executors were killed in the middle of a transaction", s.caught)
	if s.caught < inTransaction {
		t.Errorf("that is fewer than %d, so little was shown", inTransaction)
	}

	s.fleet.Until(func() bool { return s.wrong() == "" }, s.wrong)
	s.fleet.AwaitAll()
	if wrong := s.wrong(); wrong != "" {
		t.Error(wrong)
	}
	for _, n := range s.fleet.Nodes() {
		for _, difference := range snapshot.Differences(before[n.Name()], s.foreign(n)) {
			t.Errorf("something foreign on %s has changed: %s", n.Name(), difference)
		}
	}
}

func (s *scene) build() {
	for number := range nodes {
		n := s.fleet.AddNode(fmt.Sprint("node-", number))
		n.Set("net/ipv6/conf/default/disable_ipv6", "1")
		n.Underlay("eth0", fmt.Sprintf("02:00:5e:20:%02x:ff", number), fmt.Sprintf("192.0.2.%d/24", 10+number), "192.0.2.1", 100,
			node.NewWire(s.T, fmt.Sprint("underlay-", number)))
		n.IP("rule", "add", "pref", "100", "from", "192.0.2.77", "lookup", "77")
		n.IP("route", "add", "default", "via", "192.0.2.1", "dev", "eth0", "table", "77")
		for card := range cards {
			mac := fmt.Sprintf("02:00:5e:20:%02x:%02x", number, card)
			n.PlugIn(fmt.Sprint("ens", card), mac, nil)
			s.rows = append(s.rows, fleet.Row{Node: n.Name(), MAC: mac, Address: s.address(number, card), Mask: "24"})
		}
	}
	s.fleet.Insert(s.rows...)
}

func (s *scene) address(number, card int) string {
	return fmt.Sprintf("10.%d.%d.%d", number, card, 2+s.random.IntN(200))
}

// foreign is all of a node that is not multinic's. The shared rules and tables are multinic's, and no link's.
func (s *scene) foreign(n *fleet.Node) snapshot.Snapshot {
	s.Helper()
	taken, err := snapshot.Take(s.Context(), n.Node)
	if err != nil {
		s.Fatal(err)
	}

	return taken.Only("eth0", "lo")
}

func (s *scene) dispatcher() {
	s.Helper()
	s.fleet.StartDispatcher("--guard-share=100%", "--removal-hold-down=1s")
}

// change changes a row in place, or has the controller write all rows of a node anew.
func (s *scene) change() {
	s.Helper()
	i := s.random.IntN(len(s.rows))
	row := &s.rows[i]
	row.Address = s.address(i/cards, i%cards)
	row.Gateway = ""
	if s.random.IntN(2) == 0 {
		row.Gateway = fmt.Sprintf("10.%d.%d.1", i/cards, i%cards)
	}
	if s.random.IntN(3) == 0 {
		number := i / cards
		s.fleet.Rewrite(s.rows[number*cards : (number+1)*cards]...)

		return
	}
	gateway := "NULL"
	if row.Gateway != "" {
		gateway = "'" + row.Gateway + "'"
	}
	s.fleet.SQL(fmt.Sprintf("UPDATE multi_interface SET ip_address = '%s', gateway = %s WHERE mac_address = '%s'", row.Address, gateway, row.MAC))
}

// fire changes a row and waits for a moment that nobody has chosen: what is to be killed is in the middle of something then. The wait
// is what the test is about, and nothing depends on its length.
func (s *scene) fire() {
	s.Helper()
	s.change()
	<-time.After(time.Duration(s.random.IntN(450)) * time.Millisecond)
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *scene) killExecutor() {
	s.Helper()
	n := s.fleet.Nodes()[s.random.IntN(nodes)]
	s.fleet.AwaitSession(n.Name())
	s.fire()
	s.must(n.Executor.Kill())
	if _, err := os.Stat(filepath.Join(n.StateDir(), "journal.json")); err == nil {
		s.caught++
	}
	n.StartExecutor()
}

func (s *scene) killDispatcher() {
	s.Helper()
	s.fire()
	s.must(s.fleet.Dispatcher.Kill())
	s.dispatcher()
}

func (s *scene) killDatabase() {
	s.Helper()
	s.fire()
	s.must(s.fleet.DB.Kill())
	s.must(s.fleet.DB.Restart())
}

// wrong is what the oracle finds wrong with the nodes.
func (s *scene) wrong() (all string) {
	for _, n := range s.fleet.Nodes() {
		if wrong := n.Judge(oracle.Expect{}, s.rows...); wrong != "" {
			all += n.Name() + ": " + wrong + "\n"
		}
	}

	return all
}

// TestADatabaseThatStandsStillForAMinuteMakesNoFlagFalse stops it in the middle of commits, and changes what the node has meanwhile.
func TestADatabaseThatStandsStillForAMinuteMakesNoFlagFalse(t *testing.T) {
	const still = time.Minute
	s := &scene{T: t, random: rand.New(rand.NewPCG(1, 0)), fleet: fleet.New(t, fleet.Settings{Programs: programs})}
	s.build()
	s.dispatcher()
	for _, n := range s.fleet.Nodes() {
		n.StartExecutor()
	}
	s.fleet.AwaitAll()
	s.fleet.Rewrite(s.rows...)
	s.must(s.fleet.DB.Pause())
	n := s.fleet.Nodes()[0]
	n.IP("link", "add", "br0", "type", "bridge")
	n.IP("link", "set", "multinic0", "master", "br0") // What was proved of it is no longer true, and cannot be repaired.
	<-time.After(still)
	s.must(s.fleet.DB.Resume())
	want := "0 1 1 1 1 1"
	s.fleet.AwaitFlags(want)
	for range 20 { // Late writes of the time before would come now.
		<-time.After(100 * time.Millisecond)
		if got := s.fleet.Flags(); got != want {
			t.Fatalf("the flags have become %s", got)
		}
	}
	n.IP("link", "set", "multinic0", "nomaster")
	s.fleet.AwaitAll()
	if wrong := s.wrong(); wrong != "" {
		t.Error(wrong)
	}
}

// TestStrangersWhoTakeASessionMakeNoFlagAndTakeNothingAway has them come under the node's name, one after the other, while its rows are
// written anew; the node's own executor stays away for half a minute each time that it is replaced.
func TestStrangersWhoTakeASessionMakeNoFlagAndTakeNothingAway(t *testing.T) {
	s := &scene{T: t, random: rand.New(rand.NewPCG(2, 0)), fleet: fleet.New(t, fleet.Settings{Programs: programs})}
	s.build()
	s.dispatcher()
	for _, n := range s.fleet.Nodes() {
		n.StartExecutor()
	}
	s.fleet.AwaitAll()
	n := s.fleet.Nodes()[0]
	before, err := snapshot.Take(t.Context(), n.Node)
	s.must(err)
	connection, err := grpc.NewClient("unix:"+s.fleet.Socket(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	s.must(err)
	defer func() { s.must(connection.Close()) }()
	for round := range 20 {
		s.fleet.Rewrite(s.rows[:cards]...)
		ctx, end := context.WithCancel(t.Context())
		stream, err := multinicv1.NewDispatchServiceClient(connection).Session(ctx)
		s.must(err)
		s.must(stream.Send(&multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Hello{Hello: &multinicv1.Hello{NodeName: n.Name()}}}))
		s.must(stream.Send(&multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Report{Report: &multinicv1.NodeReport{}}}))
		if _, err := stream.Recv(); err != nil {
			t.Fatalf("stranger %d: %v", round, err)
		}
		end()
	}
	rows, err := s.fleet.DB.Query(t.Context(), "SELECT COUNT(*) FROM multi_interface WHERE netplan_success = 1 AND attached_node_name = '"+n.Name()+"'")
	s.must(err)
	if rows[0][0] != "0" {
		t.Errorf("%s rows of a node that nobody has proved are 1", rows[0][0])
	}
	after, err := snapshot.Take(t.Context(), n.Node)
	s.must(err)
	for _, difference := range snapshot.Differences(before, after) {
		t.Errorf("the node was disturbed: %s", difference)
	}
	// The node's own executor comes back by itself.
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	for tick := time.NewTicker(time.Second); strings.Contains(s.fleet.Flags(), "0"); {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("the flags are %s", s.fleet.Flags())
		}
	}
}
