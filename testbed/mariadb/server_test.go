package mariadb_test

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"multinic.dev/testbed/mariadb"
	"multinic.dev/testbed/sandbox"
)

func TestMain(m *testing.M) { sandbox.Main(m) }

// as runs a statement as an account, over TCP.
func as(s *mariadb.Server, a mariadb.Account, sql string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "mariadb", "--no-defaults", "--host="+s.Host(), fmt.Sprintf("--port=%d", s.Port()),
		"--user="+a.User, "--password="+a.Password, "--batch", "--skip-column-names", a.Database)
	cmd.Stdin = strings.NewReader(sql)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func TestTheDispatchersAccountReadsTheTableAndSetsTheFlagAndNothingElse(t *testing.T) {
	s := mariadb.Start(t)
	if _, err := as(s, s.Controller(), "INSERT INTO multi_interface (attached_node_name) VALUES ('a')"); err != nil {
		t.Fatalf("the controller cannot insert: %v", err)
	}
	for _, allowed := range []string{
		"SELECT * FROM multi_interface",
		"UPDATE multi_interface SET netplan_success = 1 WHERE id = 1",
	} {
		if out, err := as(s, s.Dispatcher(), allowed); err != nil {
			t.Errorf("%s: %v: %s", allowed, err, out)
		}
	}
	for _, denied := range []string{
		"UPDATE multi_interface SET vlan = 1",
		"INSERT INTO multi_interface (vlan) VALUES (1)",
		"DELETE FROM multi_interface",
		"DROP TABLE multi_interface",
		"CREATE TABLE other (id INT)",
		"SELECT * FROM mysql.user",
	} {
		if out, err := as(s, s.Dispatcher(), denied); err == nil || !strings.Contains(out, "denied") {
			t.Errorf("%s: not denied: %v: %s", denied, err, out)
		}
	}
}

func TestAServerComesBackOnItsPortWithItsRows(t *testing.T) {
	s := mariadb.Start(t)
	ctx := t.Context()
	if err := s.Exec(ctx, "INSERT INTO multi_interface (attached_node_name) VALUES ('a'), (NULL)"); err != nil {
		t.Fatal(err)
	}
	port := s.Port()
	for name, end := range map[string]func() error{"stop": s.Stop, "kill": s.Kill} {
		if err := end(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := as(s, s.Root(), "SELECT 1"); err == nil {
			t.Fatalf("after %s the server still answers", name)
		}
		if err := s.Restart(); err != nil {
			t.Fatalf("restart after %s: %v", name, err)
		}
		rows, err := s.Query(ctx, "SELECT id, attached_node_name FROM multi_interface ORDER BY id")
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(rows); s.Port() != port || got != "[[1 a] [2 NULL]]" {
			t.Fatalf("after %s and restart: port %d, rows %s", name, s.Port(), got)
		}
	}
}

func TestAPausedServerAnswersOnlyWhenItGoesOn(t *testing.T) {
	s := mariadb.Start(t)
	if err := s.Pause(); err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := as(s, s.Root(), "SELECT 1")
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Fatalf("a paused server answered: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
}

func TestAServerListensWhereItIsTold(t *testing.T) {
	s := mariadb.Start(t, mariadb.WithAddress("127.0.0.2"))
	if out, err := as(s, s.Dispatcher(), "SELECT id FROM multi_interface"); err != nil || s.Host() != "127.0.0.2" {
		t.Errorf("on %s: %v: %s", s.Host(), err, out)
	}
	if connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", s.Port())); err == nil {
		t.Errorf("it listens elsewhere, too: %v", connection.Close())
	}
}

func TestABareServerHasNoTable(t *testing.T) {
	s := mariadb.Start(t, mariadb.WithoutTable(), mariadb.WithBinlog())
	rows, err := s.Query(t.Context(), "SHOW TABLES")
	if err != nil || len(rows) != 0 {
		t.Errorf("tables %v, error %v", rows, err)
	}
	if rows, err = s.Query(t.Context(), "SELECT @@log_bin, @@binlog_format"); err != nil || fmt.Sprint(rows) != "[[1 ROW]]" {
		t.Errorf("binary log: %v, error %v", rows, err)
	}
}
