package loop_test

import (
	"database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"multinic.dev/lab/fleet"
)

// BenchmarkRowToFlag measures how long it takes from an inserted row to its netplan_success = 1 at the default poll interval, on
// a node whose card is there: dispatch, change, proof and commit. Rows come at times that have nothing to do with the polls. Beside
// it stands, from the same run, one UPDATE of a flag by the same server, which is what the database itself takes.
func BenchmarkRowToFlag(b *testing.B) {
	const rows, poll = 60, time.Second
	f := fleet.New(b, fleet.Settings{Programs: programs, Poll: poll})
	n := f.AddNode("node-1")
	n.PlugIn("ens0", mac(1, 0), nil)
	f.StartDispatcher()
	n.StartExecutor()
	f.AwaitSession(n.Name())

	settings := mysql.NewConfig()
	settings.Net, settings.Addr, settings.User, settings.Passwd = "unix", f.DB.Socket(), f.DB.Controller().User, f.DB.Controller().Password
	settings.DBName, settings.ClientFoundRows = f.DB.Controller().Database, true
	connector, err := mysql.NewConnector(settings)
	if err != nil {
		b.Fatal(err)
	}
	db := sql.OpenDB(connector)
	b.Cleanup(func() { _ = db.Close() })
	execute := func(statement string, arguments ...any) {
		if _, err := db.ExecContext(b.Context(), statement, arguments...); err != nil {
			b.Fatal(err)
		}
	}

	for b.Loop() {
		var took, updates []time.Duration
		for i := range rows {
			execute("DELETE FROM multi_interface")
			began := time.Now()
			execute("INSERT INTO multi_interface (attached_node_name, mac_address, ip_address, subnet_mask) VALUES (?, ?, ?, '24')",
				n.Name(), mac(1, 0), fmt.Sprintf("10.1.0.%d", 10+i))
			took = append(took, untilSet(b, db, began))
			began = time.Now()
			execute("UPDATE multi_interface SET netplan_success = 2")
			updates = append(updates, time.Since(began))
			// A commit ends soon after a poll: without a wait, each row would come just after one. So they come at all times
			// between two polls, in an order that looks random (seven and sixty have no common divisor).
			<-time.After(poll * time.Duration(i*7%rows) / rows)
		}
		slices.Sort(took)
		slices.Sort(updates)
		b.ReportMetric(took[rows/2].Seconds()*1000, "ms-median")
		b.ReportMetric(took[rows*99/100].Seconds()*1000, "ms-p99")
		b.ReportMetric(took[rows/2].Seconds()/poll.Seconds(), "polls-median")
		b.ReportMetric(updates[rows/2].Seconds()*1000, "ms-plain-update")
		b.ReportMetric(0, "ns/op")
	}
}

// untilSet waits until the only row is 1, and returns how long that took.
func untilSet(b *testing.B, db *sql.DB, began time.Time) time.Duration {
	b.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		flag := 0
		if err := db.QueryRowContext(b.Context(), "SELECT netplan_success FROM multi_interface").Scan(&flag); err != nil {
			b.Fatal(err)
		}
		took := time.Since(began)
		if flag == 1 {
			return took
		}
		if took > fleet.Patience {
			b.Fatalf("the row is not 1 after %v", took)
		}
		<-tick.C
	}
}
