package store_test

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"multinic.dev/dispatcher/internal/row"
	"multinic.dev/dispatcher/internal/store"
	"multinic.dev/testbed/mariadb"
	"multinic.dev/testbed/sandbox"
)

func TestMain(m *testing.M) { sandbox.Main(m) }

// settings are those with which the dispatcher of a server would open its store.
func settings(server *mariadb.Server) store.Config {
	account := server.Dispatcher()

	return store.Config{
		Host: server.Host(), Port: server.Port(), User: account.User, Database: account.Database,
		Password: func() (string, error) { return account.Password, nil },
	}
}

// open opens the store with the dispatcher's account; it is closed with the test.
func open(tb testing.TB, server *mariadb.Server) *store.Store {
	tb.Helper()

	return openWith(tb, settings(server))
}

func openWith(tb testing.TB, config store.Config) *store.Store {
	tb.Helper()
	s := store.New(config)
	tb.Cleanup(func() { must(tb, s.Close()) })

	return s
}

// writer is whoever else works on the database: the controller that writes the table, or its administrator.
type writer struct {
	t  testing.TB
	db *sql.DB
}

// controller is the one whose table it is.
func controller(tb testing.TB, server *mariadb.Server) writer {
	tb.Helper()

	return writerAs(tb, server, server.Controller())
}

// administrator may do everything.
func administrator(tb testing.TB, server *mariadb.Server) writer {
	tb.Helper()

	return writerAs(tb, server, server.Root())
}

func writerAs(tb testing.TB, server *mariadb.Server, account mariadb.Account) writer {
	tb.Helper()
	config := mysql.NewConfig()
	config.Net, config.Addr = "tcp", fmt.Sprintf("%s:%d", server.Host(), server.Port())
	config.User, config.Passwd, config.DBName = account.User, account.Password, account.Database
	config.MultiStatements = true
	config.Logger = &mysql.NopLogger{} // some servers are killed
	config.Params = map[string]string{"time_zone": "'+00:00'"}
	connector, err := mysql.NewConnector(config)
	must(tb, err)
	db := sql.OpenDB(connector)
	tb.Cleanup(func() { must(tb, db.Close()) })

	return writer{tb, db}
}

// do executes statements, separated by semicolons.
func (w writer) do(statement string) {
	w.t.Helper()
	if _, err := w.db.ExecContext(w.t.Context(), statement); err != nil {
		w.t.Fatalf("%s: %v", statement, err)
	}
}

// ask returns the text of the only value of the only row; NULL is "NULL".
func (w writer) ask(query string) string {
	w.t.Helper()
	var value sql.NullString
	if err := w.db.QueryRowContext(w.t.Context(), query).Scan(&value); err != nil {
		w.t.Fatalf("%s: %v", query, err)
	}
	if !value.Valid {
		return "NULL"
	}

	return value.String
}

// flags are netplan_success of all rows, in the order of their ids.
func (w writer) flags() string {
	w.t.Helper()

	return w.ask("SELECT GROUP_CONCAT(IFNULL(netplan_success, 'NULL') ORDER BY id SEPARATOR ' ') FROM multi_interface")
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// show is a change as text: each node's rows, a row a line. NULL is a dash; what is not NULL is in quotes.
func show(change store.Change) string {
	var lines []string
	if change.Full {
		lines = append(lines, "full")
	}
	for _, node := range sorted(change.Nodes) {
		rows := change.Nodes[node]
		if len(rows) == 0 {
			lines = append(lines, fmt.Sprintf("%q has no rows", node))
		}
		for _, one := range rows {
			lines = append(lines, fmt.Sprintf("%q %s", node, showRow(one)))
		}
	}

	return strings.Join(lines, "\n")
}

func showRow(r row.Row) string {
	words := []string{fmt.Sprint(r.ID)}
	for _, value := range []row.Value{r.MAC, r.Address, r.Mask, r.Gateway, r.DNS, r.VLAN, r.MTU, r.UpdatedAt} {
		word := fmt.Sprintf("%q", value.Text)
		if value.Null {
			word = "-" + value.Text
		}
		words = append(words, word)
	}
	state := "pending"
	if r.Committed {
		state = "committed"
	}

	return strings.Join(append(words, state), " ")
}

func sorted(nodes map[string][]row.Row) []string { return slices.Sorted(maps.Keys(nodes)) }
