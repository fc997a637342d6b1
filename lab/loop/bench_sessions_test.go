package loop_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"multinic.dev/lab/fleet"
	multinicv1 "multinic.dev/proto/multinic/v1"
	"multinic.dev/testbed/authority"
)

// BenchmarkSessions measures what a node costs the dispatcher in resident memory: a session over TLS with a client's certificate, and ten rows, of
// which each was sent, proved and committed, with a report as full as an executor's. It is what the process had at its most, since that is what a
// memory limit must allow for, without what it had before there was any node.
func BenchmarkSessions(b *testing.B) {
	const nodes, rows = 2000, 10
	servers, callers := authority.New(b, "servers"), authority.New(b, "callers")
	known := x509.NewCertPool()
	known.AppendCertsFromPEM(servers.PEM)
	client := func(name, organisation string) credentials.TransportCredentials {
		own := callers.Issue(authority.Leaf{CommonName: name, Organisations: []string{organisation}})
		pair, err := tls.X509KeyPair(own.Certificate, own.Key)
		if err != nil {
			b.Fatal(err)
		}

		return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: known, Certificates: []tls.Certificate{pair}})
	}
	f := fleet.New(b, fleet.Settings{Programs: programs, Poll: time.Second, Patience: 5 * time.Minute, Operator: client("alice", "multinic:operators")})
	own := servers.Issue(authority.Leaf{CommonName: "dispatcher", Hosts: []string{"localhost"}})
	volume := authority.NewVolume(b, b.TempDir())
	volume.Put(map[string][]byte{"cert": own.Certificate, "key": own.Key, "client-ca": callers.PEM})
	var table []fleet.Row
	for n := range nodes {
		for i := range rows {
			table = append(table, fleet.Row{
				Node: fmt.Sprintf("node-%d", n), MAC: fmt.Sprintf("02:00:%02x:%02x:00:%02x", n>>8, n&0xff, i), Address: fmt.Sprintf("10.%d.%d.%d", n>>8, n&0xff, 10+i),
				Mask: "24", Gateway: fmt.Sprintf("10.%d.%d.1", n>>8, n&0xff), DNS: "192.0.2.53,192.0.2.54",
			})
		}
	}
	f.StartDispatcher("--identity=mtls", "--tls-cert="+volume.Path("cert"), "--tls-key="+volume.Path("key"), "--client-ca="+volume.Path("client-ca"))
	for b.Loop() {
		bare := peak(b, f.Dispatcher.PID())
		f.Insert(table...)
		for n := range nodes {
			name := fmt.Sprintf("node-%d", n)
			holdSession(b, f, client(name, "multinic:executors"), name)
		}
		f.Until(func() bool { return strings.Count(f.Flags(), "1") == nodes*rows }, func() string { return "not all rows are 1" })
		b.ReportMetric(float64(peak(b, f.Dispatcher.PID())-bare)/nodes, "KiB/node")
		b.ReportMetric(float64(bare)/1024, "MiB-bare")
		b.ReportMetric(0, "ns/op")
	}
}

// holdSession opens a session of a node, which says of whatever it is to have that it has it, until the benchmark ends.
func holdSession(b *testing.B, f *fleet.Fleet, who credentials.TransportCredentials, name string) {
	b.Helper()
	connection, err := grpc.NewClient("unix:"+f.Socket(), grpc.WithTransportCredentials(who), grpc.WithReadBufferSize(0))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := multinicv1.NewDispatchServiceClient(connection).Session(ctx, grpc.WaitForReady(true))
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = stream.Send(&multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Hello{Hello: &multinicv1.Hello{NodeName: name}}})
		_ = stream.Send(&multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Report{Report: &multinicv1.NodeReport{}}})
		for {
			response, err := stream.Recv()
			if err != nil {
				return
			}
			_ = stream.Send(&multinicv1.SessionRequest{Message: &multinicv1.SessionRequest_Report{Report: full(response.GetWorkSet())}})
		}
	}()
	b.Cleanup(func() {
		cancel()
		<-ended
		_ = connection.Close()
	})
}

// full is a report that all of a WorkSet is so, with all that an executor says of it.
func full(set *multinicv1.WorkSet) *multinicv1.NodeReport {
	report := &multinicv1.NodeReport{Generation: set.GetGeneration(), Facts: &multinicv1.NodeFacts{
		ExecutorVersion: "v1.2.3", KernelRelease: "6.1.0-42-cloud-amd64", Backend: "netplan", Activation: "manager", Mode: "apply",
	}}
	for i, item := range set.GetItems() {
		name, address := fmt.Sprintf("multinic%d", i), item.GetSpec().GetAddress()
		source, _, _ := strings.Cut(address, "/")
		table := strconv.Itoa(0x6d6e0000 + i<<12)
		report.Results = append(report.Results, &multinicv1.WorkResult{
			Key: item.GetKey(), Revision: item.GetRevision(), VerifiedGeneration: set.GetGeneration(), State: multinicv1.State_STATE_READY,
			InterfaceName: name, Proved: item.GetSpec(), Taken: true,
			Observed: &multinicv1.Observed{
				LinkIndex: uint32(i), Up: true, Mtu: 1500, Addresses: []string{address},
				Routes: []string{
					"default via " + item.GetSpec().GetGateway() + " dev " + name + " table " + table + " proto 109 onlink",
					source + "/24 dev " + name + " table " + table + " proto 109 scope link",
					source + "/24 dev " + name + " table 1835925503 proto 109 scope link metric " + strconv.Itoa(i<<12+1),
				},
				Rules: []string{
					"25000: from " + source + " lookup " + table + " suppress_prefixlength 0 proto 109",
					"25001: from " + source + " lookup main suppress_prefixlength 0 proto 109", "25002: from " + source + " lookup " + table + " proto 109",
				},
			},
		})
	}

	return report
}

// peak is the most memory that a process has had resident, in KiB.
func peak(b *testing.B, pid int) int {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		b.Fatalf("/proc/%d/status says no VmHWM", pid)
	}
	size, err := strconv.Atoi(fields[0])
	if err != nil {
		b.Fatal(err)
	}

	return size
}
