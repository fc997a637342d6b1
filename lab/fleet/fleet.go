// Package fleet puts a whole fleet onto one machine: a private MariaDB, the dispatcher, and nodes with their executors.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"multinic.dev/lab/program"
	multinicv1 "multinic.dev/proto/multinic/v1"
	"multinic.dev/testbed/container"
	"multinic.dev/testbed/mariadb"
	"multinic.dev/testbed/node"
)

// Patience is how long a fleet waits for what must happen. It takes some milliseconds, or a poll interval.
const Patience = 20 * time.Second

// Fleet is a database, a dispatcher and nodes. It belongs to one goroutine.
type Fleet struct {
	t        node.TB
	dir      string
	programs program.Programs
	poll     time.Duration

	// DB is the database.
	DB *mariadb.Server
	// Dispatcher is the process; nil before StartDispatcher.
	Dispatcher *program.Process
	// API is the operators' side of the dispatcher.
	API multinicv1.FleetServiceClient

	patience   time.Duration
	connection *grpc.ClientConn
	nodes      []*Node
	// processes are all that were ever started, to be looked at in the end.
	processes []*program.Process
}

// Settings are what fleets differ in.
type Settings struct {
	// Programs are the programs to run.
	Programs program.Programs
	// Poll is the dispatcher's poll interval; 0: 50 ms.
	Poll time.Duration
	// Patience is how long it waits for what must happen; 0: the constant.
	Patience time.Duration
	// Dir is where sockets and state go: a short path, since a socket's has 107 bytes at most. Empty: a temporary folder.
	Dir string
	// Prepare is run against the database before anything else; the table is there by then.
	Prepare string
	// Operator is how the test, as an operator, is protected and known. Nil: not at all.
	Operator credentials.TransportCredentials
}

// New makes a fleet with a database and nothing else yet. It ends with the test, which fails if a program did not end in good
// order, panicked, or had a data race.
func New(t node.TB, settings Settings) *Fleet {
	t.Helper()
	f := &Fleet{t: t, dir: settings.Dir, programs: settings.Programs, poll: settings.Poll, patience: settings.Patience, DB: mariadb.Start(t)}
	if f.poll == 0 {
		f.poll = 50 * time.Millisecond
	}
	if f.patience == 0 {
		f.patience = Patience
	}
	if f.dir == "" {
		dir, err := os.MkdirTemp("", "f-")
		f.must(err)
		f.dir = dir
		t.Cleanup(func() { f.must(os.RemoveAll(dir)) })
	}
	if settings.Prepare != "" {
		f.SQL(settings.Prepare)
	}
	if settings.Operator == nil {
		settings.Operator = insecure.NewCredentials()
	}
	connection, err := grpc.NewClient("unix:"+f.Socket(), grpc.WithTransportCredentials(settings.Operator))
	f.must(err)
	f.connection, f.API = connection, multinicv1.NewFleetServiceClient(connection)
	t.Cleanup(f.end)

	return f
}

// end stops what still runs, executors first, and looks at how everything went.
func (f *Fleet) end() {
	f.t.Helper()
	err := f.connection.Close()
	for _, process := range slices.Backward(f.processes) {
		if process.Running() {
			err = errors.Join(err, process.Resume(), process.Stop())
		}
		if scandal := process.Scandal(); scandal != "" {
			err = errors.Join(err, errors.New(scandal))
		}
	}
	if failed, ok := f.t.(interface{ Failed() bool }); err != nil || ok && failed.Failed() {
		for _, process := range f.processes {
			f.t.Logf("%s", process.Log())
		}
	}
	f.must(err)
}

func (f *Fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatalf("%v", err)
	}
}

// Socket is the path of the dispatcher's socket.
func (f *Fleet) Socket() string { return filepath.Join(f.dir, "dispatcher.sock") }

// DispatcherHTTP is where the dispatcher serves HTTP. Only one dispatcher runs in a sandbox at a time.
const DispatcherHTTP = "127.0.0.1:18080"

// Command is the dispatcher's command with the settings that the fleet needs, and further arguments, which win. It is not started.
func (f *Fleet) Command(arguments ...string) *exec.Cmd {
	account := f.DB.Dispatcher()
	all := append([]string{
		"--identity=insecure", "--listen=unix:" + f.Socket(), "--http-listen=" + DispatcherHTTP,
		"--db-host=" + f.DB.Host(), "--db-port=" + strconv.Itoa(f.DB.Port()), "--db-user=" + account.User, "--db-name=" + account.Database,
		"--poll-interval=" + f.poll.String(),
	}, arguments...)
	cmd := exec.CommandContext(context.Background(), f.programs.Dispatcher, all...)
	cmd.Env = append(os.Environ(), "DB_PASSWORD="+account.Password)

	return cmd
}

// StartDispatcher starts the dispatcher, with further arguments. It does not wait until it answers.
func (f *Fleet) StartDispatcher(arguments ...string) {
	f.t.Helper()
	f.Dispatcher = f.start("dispatcher", f.Command(arguments...))
}

// StartAnotherDispatcher starts a second dispatcher on the same database, to which no executor comes.
func (f *Fleet) StartAnotherDispatcher() *program.Process {
	f.t.Helper()

	return f.start("another dispatcher", f.Command("--listen=unix:"+f.Socket()+"2", "--http-listen=127.0.0.1:18081"))
}

// start starts a program and waits for its first word: before that, it does not heed the signal to stop in good order yet.
func (f *Fleet) start(name string, cmd *exec.Cmd) *program.Process {
	f.t.Helper()
	process, err := program.Start(name, cmd)
	f.must(err)
	f.processes = append(f.processes, process)
	f.Until(func() bool { return process.Log() != "" || !process.Running() }, func() string { return name + " has said nothing" })

	return process
}

// Node is a node of the fleet.
type Node struct {
	*node.Node

	fleet *Fleet
	// host is the container that the node is; nil: it is a network namespace alone.
	host *container.Container
	// Executor is the process; nil before StartExecutor.
	Executor *program.Process
}

// AddNode makes a node with nothing but its loopback.
func (f *Fleet) AddNode(name string) *Node {
	f.t.Helper()
	n := &Node{Node: node.New(f.t, name), fleet: f}
	f.nodes = append(f.nodes, n)

	return n
}

// AddHost makes a container a node, with a network manager and a disk of its own. Its executor runs beside it, in its network, as a
// DaemonSet's does.
func (f *Fleet) AddHost(c *container.Container) *Node {
	n := &Node{Node: c.Node, fleet: f, host: c}
	f.nodes = append(f.nodes, n)

	return n
}

// Nodes are the nodes, in the order in which they were added. They are not to be changed.
func (f *Fleet) Nodes() []*Node { return f.nodes }

// StateDir is the folder of the node's executor.
func (n *Node) StateDir() string {
	if n.host != nil {
		return n.host.Path("/var/lib/multinic")
	}

	return filepath.Join(n.fleet.dir, n.Name())
}

// backend are the arguments by which an executor knows what keeps the node's configuration.
func (n *Node) backend() []string {
	if n.host != nil {
		return []string{"--host-root=" + n.host.Live()}
	}

	return []string{"--backend=netlink"}
}

// StartExecutor starts the node's executor, with further arguments.
func (n *Node) StartExecutor(arguments ...string) {
	n.fleet.t.Helper()
	all := slices.Concat([]string{
		"--identity=insecure", "--dispatcher=unix:" + n.fleet.Socket(), "--node-name=" + n.Name(), "--state-dir=" + n.StateDir(),
	}, n.backend(), arguments)
	n.Executor = n.fleet.start("executor of "+n.Name(), n.Command(context.Background(), n.fleet.programs.Executor, all...))
}

// Local runs one of the executor's commands for people on the node, such as "status", and returns what it prints.
func (n *Node) Local(command string) (string, error) { return n.LocalIn(n.StateDir(), command) }

// LocalIn is Local with another state directory.
func (n *Node) LocalIn(dir, command string) (string, error) {
	out, err := n.Command(context.Background(), n.fleet.programs.Executor, append([]string{command, "--state-dir=" + dir}, n.backend()...)...).CombinedOutput()

	return string(out), err
}

// Until waits until something is so; complaint says what is in its place when time is up.
func (f *Fleet) Until(so func() bool, complaint func() string) {
	f.t.Helper()
	f.UntilWithin(f.patience, so, complaint)
}

// UntilWithin is Until for what takes its time.
func (f *Fleet) UntilWithin(patience time.Duration, so func() bool, complaint func() string) {
	f.t.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		if time.Now().After(deadline) {
			f.t.Fatalf("%s", complaint())
		}
		<-tick.C
	}
}

// View is what the dispatcher says of a node; nil while it says nothing.
func (f *Fleet) View(name string) *multinicv1.Node {
	ctx, cancel := context.WithTimeout(context.Background(), f.patience)
	defer cancel()
	response, err := f.API.GetNode(ctx, &multinicv1.GetNodeRequest{Name: name})
	if err != nil {
		return nil
	}

	return response.GetNode()
}

// Retry has a node try again at once what has failed or was refused.
func (f *Fleet) Retry(name string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	_, err := f.API.RetryNode(ctx, &multinicv1.RetryNodeRequest{Name: name})
	f.must(err)
}

// AwaitSession waits until a node has a session in which it was given work.
func (f *Fleet) AwaitSession(name string) {
	f.t.Helper()
	var view *multinicv1.Node
	f.Until(func() bool { view = f.View(name); return view.GetSession().GetGeneration() > 0 },
		func() string { return fmt.Sprintf("%s has no session with work: %v", name, view) })
}

// Result is what a node says of a MAC, such as "READY" or "REFUSED LINK_IN_USE: …"; empty while it says nothing.
func (f *Fleet) Result(name, mac string) string {
	return f.result(name, func(key *multinicv1.Key) bool { return key.GetMacAddress() == mac })
}

// ResultOfVLAN is Result of one VLAN of a MAC; 0 is the untagged interface.
func (f *Fleet) ResultOfVLAN(name, mac string, vlan uint32) string {
	return f.result(name, func(key *multinicv1.Key) bool { return key.GetMacAddress() == mac && key.GetVlanId() == vlan })
}

func (f *Fleet) result(name string, of func(key *multinicv1.Key) bool) string {
	for _, each := range f.View(name).GetInterfaces() {
		if of(each.GetKey()) && each.GetResult() != nil {
			result := each.GetResult()
			words := strings.TrimPrefix(result.GetState().String(), "STATE_")
			if result.GetReason() != multinicv1.Reason_REASON_UNSPECIFIED {
				words += " " + strings.TrimPrefix(result.GetReason().String(), "REASON_") + ": " + result.GetMessage()
			}

			return words
		}
	}

	return ""
}

// AwaitResult waits until what a node says of a MAC begins with some words.
func (f *Fleet) AwaitResult(name, mac, want string) string {
	f.t.Helper()
	got := ""
	f.Until(func() bool { got = f.Result(name, mac); return strings.HasPrefix(got, want) },
		func() string { return fmt.Sprintf("%s says of %s: %q, not %q", name, mac, got, want) })

	return got
}
