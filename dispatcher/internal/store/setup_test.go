package store_test

import (
	"errors"
	"strings"
	"testing"

	"multinic.dev/dispatcher/internal/store"
	"multinic.dev/testbed/mariadb"
)

func isSetup(err error) bool {
	var setup *store.SetupError

	return errors.As(err, &setup)
}

// refuses requires a *SetupError of one line from a store that is opened afresh.
func refuses(t *testing.T, config store.Config, want string) {
	t.Helper()
	err := openWith(t, config).Prepare(t.Context())
	if err == nil || err.Error() != want || !isSetup(err) {
		t.Errorf("error (is a *SetupError: %v)\n%v\nwant\n%s", isSetup(err), err, want)
	}
	if err != nil && strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
}

// grant is the remedy that the messages name.
const grant = "GRANT SELECT, UPDATE (netplan_success) ON `multinic`.multi_interface TO 'dispatcher'@'%'"

func TestAnAccountThatIsRefusedIsToldWhichSettingToChange(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	admin := administrator(t, server)
	right := settings(server)
	must(t, openWith(t, right).Prepare(t.Context()))

	wrongPassword := right
	wrongPassword.Password = func() (string, error) { return "wrong", nil }
	refuses(t, wrongPassword, "the database at "+address(server)+" denies the user dispatcher: set --db-user, and DB_PASSWORD or --db-password-file,"+
		" to an account of it (Access denied for user 'dispatcher'@'127.0.0.1' (using password: YES))")

	noPassword := right
	noPassword.Password = nil
	refuses(t, noPassword, "the database at "+address(server)+" denies the user dispatcher: set --db-user, and DB_PASSWORD or --db-password-file,"+
		" to an account of it (Access denied for user 'dispatcher'@'127.0.0.1' (using password: NO))")

	wrongUser := right
	wrongUser.User = "nobody"
	refuses(t, wrongUser, "the database at "+address(server)+" denies the user nobody: set --db-user, and DB_PASSWORD or --db-password-file,"+
		" to an account of it (Access denied for user 'nobody'@'127.0.0.1' (using password: YES))")

	unreadable := right
	unreadable.Password = func() (string, error) { return "", errors.New("open /etc/password: permission denied\nreally") }
	refuses(t, unreadable, "the password of the database account cannot be had: open /etc/password: permission denied really;"+
		" set DB_PASSWORD, or --db-password-file to a file that can be read")

	admin.do("ALTER USER dispatcher ACCOUNT LOCK")
	refuses(t, right, "the database at "+address(server)+" denies the user dispatcher: set --db-user, and DB_PASSWORD or --db-password-file,"+
		" to an account of it (Access denied, this account is locked)")
	admin.do("ALTER USER dispatcher ACCOUNT UNLOCK")

	admin.do("CREATE USER local IDENTIFIED VIA unix_socket")
	local := right
	local.User = "local"
	refuses(t, local, "the database at "+address(server)+" denies the user local: set --db-user, and DB_PASSWORD or --db-password-file,"+
		" to an account of it (Access denied for user 'local'@'127.0.0.1')")

	must(t, openWith(t, right).Prepare(t.Context()))
	// The administrator has a connection already; nobody gets another.
	admin.do("RENAME USER dispatcher TO dispatcher@'192.0.2.1', controller TO controller@'192.0.2.1', admin TO admin@'192.0.2.1', local TO local@'192.0.2.1'; FLUSH PRIVILEGES")
	refuses(t, right, "the database at "+address(server)+" lets nobody in from this host: create the account of --db-user (dispatcher) for this host too"+
		" (Host '127.0.0.1' is not allowed to connect to this MariaDB server)")
}

func TestADatabaseWithoutTheTableIsToldWhatToSet(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	admin := administrator(t, server)
	wrong := settings(server)
	wrong.Database = "elsewhere"
	denied := "the user dispatcher has no rights in the database elsewhere, or it is not there: set --db-name," +
		" or GRANT SELECT, UPDATE (netplan_success) ON `elsewhere`.multi_interface TO 'dispatcher'@'%'"
	refuses(t, wrong, denied)

	admin.do("GRANT SELECT ON elsewhere.* TO dispatcher")
	refuses(t, wrong, "there is no database elsewhere: set --db-name to the one that has the table multi_interface")

	admin.do("CREATE DATABASE elsewhere")
	refuses(t, wrong, "the database elsewhere has no table multi_interface: create it, or set --db-name to the database that has it"+
		" (Table 'elsewhere.multi_interface' doesn't exist)")

	admin.do("REVOKE SELECT ON elsewhere.* FROM dispatcher; CREATE TABLE elsewhere.multi_interface LIKE multinic.multi_interface")
	refuses(t, wrong, denied)
	admin.do("GRANT SELECT, UPDATE (netplan_success) ON `elsewhere`.multi_interface TO 'dispatcher'@'%'")
	must(t, openWith(t, wrong).Prepare(t.Context()))

	admin.do("DROP TABLE elsewhere.multi_interface")
	refuses(t, wrong, "the database elsewhere has no table multi_interface: create it, or set --db-name to the database that has it"+
		" (Table 'elsewhere.multi_interface' doesn't exist)")
}

func TestAMissingRightIsToldWithTheStatementThatGivesIt(t *testing.T) {
	server := mariadb.Start(t)
	admin := administrator(t, server)
	admin.do("ALTER TABLE multi_interface ADD deleted_at TIMESTAMP NULL DEFAULT NULL")
	const lacks = "the account of --db-user lacks a right: " + grant
	const update = "GRANT UPDATE (netplan_success) ON multi_interface TO dispatcher; "
	const columns = "attached_node_name, mac_address, netplan_success, ip_address, subnet_mask, gateway, dns, vlan, updated_at"
	for _, lacking := range []struct{ name, rights, want string }{
		{
			"no SELECT", update,
			lacks + " (SELECT command denied to user 'dispatcher'@'127.0.0.1' for table `multinic`.`multi_interface`)",
		},
		{
			"no UPDATE", "GRANT SELECT ON multi_interface TO dispatcher",
			lacks + " (UPDATE command denied to user 'dispatcher'@'127.0.0.1' for table `multinic`.`multi_interface`)",
		},
		{
			"UPDATE of another column", "GRANT SELECT, UPDATE (vlan) ON multi_interface TO dispatcher",
			lacks + " (UPDATE command denied to user 'dispatcher'@'127.0.0.1' for column 'netplan_success' in table 'multi_interface')",
		},
		{
			"SELECT on other columns", update + "GRANT SELECT (id, attached_node_name, vlan) ON multi_interface TO dispatcher",
			lacks + " (SELECT command denied to user 'dispatcher'@'127.0.0.1' for table `multinic`.`multi_interface`)",
		},
		{
			// Whoever cannot see that rows are deleted would take them for living.
			"SELECT on all columns but deleted_at", update + "GRANT SELECT (id, created_at, " + columns + ") ON multi_interface TO dispatcher",
			lacks + " (SELECT command denied to user 'dispatcher'@'127.0.0.1' for table `multinic`.`multi_interface`)",
		},
	} {
		t.Run(lacking.name, func(t *testing.T) {
			admin.do("REVOKE ALL, GRANT OPTION FROM dispatcher; " + lacking.rights)
			refuses(t, settings(server), lacking.want)
			admin.do(grant)
			must(t, openWith(t, settings(server)).Prepare(t.Context()))
		})
	}
}

func TestTheStatementThatGivesARightNamesTheAccountAsTheServerKnowsIt(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	admin := administrator(t, server)
	admin.do("CREATE DATABASE `a``b'c`; CREATE TABLE `a``b'c`.multi_interface LIKE multi_interface;" +
		` CREATE USER 'o''b\\r"i` + "`" + `en'@'127.0.0.%' IDENTIFIED BY 'secret'; ` +
		"GRANT INSERT ON `a``b'c`.multi_interface TO " + `'o''b\\r"i` + "`" + `en'@'127.0.0.%'`)
	config := settings(server)
	config.User, config.Database = "o'b\\r\"i`en", "a`b'c"
	config.Password = func() (string, error) { return "secret", nil }
	const statement = "GRANT SELECT, UPDATE (netplan_success) ON `a``b'c`.multi_interface TO 'o''b\\\\r\"i`en'@'127.0.0.%'"
	refuses(t, config, "the account of --db-user lacks a right: "+statement+
		" (SELECT command denied to user 'o'b\\r\"i`en'@'127.0.0.1' for table `a``b'c`.`multi_interface`)")
	admin.do(statement)
	must(t, openWith(t, config).Prepare(t.Context()))
}

func TestAMissingColumnIsNamed(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	admin := administrator(t, server)
	s := open(t, server)
	for _, column := range []struct{ name, want string }{
		{"id", "column id"},
		{"attached_node_name", "column attached_node_name"},
		{"mac_address", "column mac_address or macaddress"},
		{"netplan_success", "column netplan_success"},
		{"ip_address", "column ip_address or address"},
		{"subnet_mask", "column subnet_mask (and no subnet_id, by which multi_subnet.cidr could stand in)"},
		{"gateway", "column gateway"},
		{"dns", "column dns"},
		{"vlan", "column vlan"},
	} {
		admin.do("ALTER TABLE multi_interface CHANGE " + column.name + " elsewhere INT")
		refuses(t, settings(server), "the table multi_interface has no "+column.want+
			": alter the table, or set --db-name (now multinic) to the database that has the right one")
		admin.do("DROP TABLE multi_interface; " + mariadb.Table)
		must(t, s.Prepare(t.Context()))
	}
	for _, optional := range []string{"created_at", "updated_at"} {
		admin.do("ALTER TABLE multi_interface DROP " + optional)
		must(t, openWith(t, settings(server)).Prepare(t.Context()))
	}
}

func TestATableWhoseRowsCannotBeLockedIsRefused(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	admin := administrator(t, server)
	const remedy = "ALTER TABLE `multinic`.multi_interface ENGINE = InnoDB"
	for _, engine := range []string{"MyISAM", "Aria", "MEMORY"} {
		admin.do("ALTER TABLE multi_interface ENGINE = " + engine)
		refuses(t, settings(server), "the table multi_interface is kept by the engine "+engine+", which cannot lock rows: "+remedy)
	}
	admin.do(remedy)
	must(t, openWith(t, settings(server)).Prepare(t.Context()))
}

func TestAServerThatCannotBeReachedIsNoMatterOfSettingUp(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	right := settings(server)
	must(t, server.Stop())

	closed := openWith(t, right).Prepare(t.Context())
	want := "the database at " + address(server) + " cannot be reached (--db-host, --db-port): dial tcp " + address(server) + ": connect: connection refused"
	if closed == nil || closed.Error() != want || isSetup(closed) {
		t.Errorf("error\n%v\nwant\n%s", closed, want)
	}

	elsewhere := right
	elsewhere.Host = "nowhere.invalid"
	unknown := openWith(t, elsewhere).Prepare(t.Context())
	want = "the database at nowhere.invalid:" + strings.TrimPrefix(address(server), "127.0.0.1:") +
		" cannot be reached (--db-host, --db-port): dial tcp: lookup nowhere.invalid"
	if unknown == nil || !strings.HasPrefix(unknown.Error(), want) || strings.Contains(unknown.Error(), "\n") || isSetup(unknown) {
		t.Errorf("error\n%v\nwant\n%s …", unknown, want)
	}

	must(t, server.Restart())
	must(t, openWith(t, right).Prepare(t.Context()))
}

func TestPrepareChangesNothing(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	table := controller(t, server)
	table.do(sixRows)
	const whole = "SELECT GROUP_CONCAT(CONCAT_WS(',', id, netplan_success, vlan, updated_at) ORDER BY id SEPARATOR '; ') FROM multi_interface"
	before := table.ask(whole)
	must(t, open(t, server).Prepare(t.Context()))
	if after := table.ask(whole); after != before {
		t.Errorf("the rows are\n%s\nand were\n%s", after, before)
	}
}

func TestASubnetThatMayNotBeSeenIsToldWithTheStatementThatShowsIt(t *testing.T) {
	t.Parallel()
	server := mariadb.Start(t)
	admin := administrator(t, server)
	admin.do("ALTER TABLE multi_interface DROP subnet_mask, ADD subnet_id INT; INSERT INTO multi_interface (attached_node_name, subnet_id) VALUES ('a', 1)")
	const statement = "GRANT SELECT ON `multinic`.multi_subnet TO 'dispatcher'@'%'"
	const want = "the table multi_interface has no column subnet_mask, and multi_subnet.cidr, which could stand in by subnet_id, is not to be seen:" +
		" alter the table, or set --db-name (now multinic) to the database that has the right one, or " + statement
	refuses(t, settings(server), want)
	admin.do("CREATE TABLE multi_subnet (subnet_id INT, cidr VARCHAR(18)); INSERT INTO multi_subnet VALUES (1, '192.0.2.0/24')")
	refuses(t, settings(server), want)
	admin.do(statement)
	s := open(t, server)
	if got := rows(t, s)[0].Mask.Text; got != "24" {
		t.Fatalf("the mask is %s", got)
	}

	// The right is taken away from a store that has seen the subnets.
	admin.do("REVOKE SELECT ON multi_subnet FROM dispatcher")
	w := follow(t, s, poll)
	denied := "the account of --db-user lacks a right: " + statement +
		" (SELECT command denied to user 'dispatcher'@'127.0.0.1' for table `multinic`.`multi_subnet`)"
	if err := w.failure(); err.Error() != denied || !isSetup(err) {
		t.Errorf("error\n%v\nwant\n%s", err, denied)
	}
	if err := w.failure(); err.Error() != want || !isSetup(err) {
		t.Errorf("error\n%v\nwant\n%s", err, want)
	}
	admin.do(statement)
	w.next()
}
