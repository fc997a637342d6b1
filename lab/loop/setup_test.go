package loop_test

import (
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"multinic.dev/lab/fleet"
	"multinic.dev/lab/program"
	"multinic.dev/testbed/mariadb"
)

// ends runs a command that must end by itself with an exit code, and returns the last line that it printed.
func ends(t *testing.T, cmd *exec.Cmd, want int) string {
	t.Helper()
	process, err := program.Start("program", cmd)
	if err != nil {
		t.Fatal(err)
	}
	code, err := process.Wait(fleet.Patience)
	if err != nil {
		t.Errorf("%v; it said: %s", err, process.Log())
		if err := process.Kill(); err != nil {
			t.Fatal(err)
		}
		return ""
	}
	lines := strings.Split(strings.TrimSuffix(process.Log(), "\n"), "\n")
	if code != want {
		t.Errorf("exit %d, want %d; it said: %s", code, want, process.Log())
	}
	return lines[len(lines)-1]
}

func TestADatabaseThatCannotBeUsedEndsTheDispatcherWithTheRemedy(t *testing.T) {
	f := newFleet(t)
	const alter = "ALTER TABLE multi_interface "
	for _, test := range []struct {
		name        string
		breakIt     string
		arguments   []string
		environment string
		want        []string
		heal        string
	}{
		{name: "password", environment: "DB_PASSWORD=wrong", want: []string{"--db-user", "DB_PASSWORD or --db-password-file", "denies the user dispatcher"}},
		{name: "user", arguments: []string{"--db-user=nobody"}, want: []string{"--db-user", "denies the user nobody"}},
		{name: "database", arguments: []string{"--db-name=other"}, want: []string{"--db-name", "other"}},
		{name: "table", breakIt: "RENAME TABLE multi_interface TO away", want: []string{"multi_interface"}, heal: "RENAME TABLE away TO multi_interface"},
		{name: "column", breakIt: alter + "RENAME COLUMN gateway TO gw", want: []string{"the table multi_interface has no column gateway"},
			heal: alter + "RENAME COLUMN gw TO gateway"},
		{name: "right to read", breakIt: "REVOKE SELECT ON multi_interface FROM dispatcher@'%'", want: []string{"GRANT SELECT, UPDATE (netplan_success)"},
			heal: mariadb.Grants("dispatcher")},
		{name: "right to write", breakIt: "REVOKE UPDATE (netplan_success) ON multi_interface FROM dispatcher@'%'",
			want: []string{"GRANT SELECT, UPDATE (netplan_success)"}, heal: mariadb.Grants("dispatcher")},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.breakIt != "" {
				f.SQL(test.breakIt)
			}
			cmd := f.Command(test.arguments...)
			if test.environment != "" {
				cmd.Env = append(cmd.Env, test.environment)
			}
			said := ends(t, cmd, 2)
			for _, want := range append(test.want, "multinic-dispatcher: ") {
				if !strings.Contains(said, want) {
					t.Errorf("it said %q, which lacks %q", said, want)
				}
			}
			if test.heal != "" {
				f.SQL(test.heal)
			}
		})
	}
	// The control: healed, the same command serves.
	f.StartDispatcher()
	f.Until(func() bool { return ready(t) == "200 ok" }, func() string { return "it is not ready: " + ready(t) })
}

func TestADatabaseThatIsAwayIsTriedAgainAndHealed(t *testing.T) {
	f, n, rows := running(t, 1)
	if err := f.Dispatcher.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := f.DB.Stop(); err != nil {
		t.Fatal(err)
	}
	f.StartDispatcher()
	want := "the database at 127.0.0.1:" + strconv.Itoa(f.DB.Port()) + " cannot be reached (--db-host, --db-port): "
	f.Until(func() bool { return ready(t) == passes && strings.Contains(f.Dispatcher.Log(), want) },
		func() string { return "it is ready as follows: " + ready(t) })
	if err := f.DB.Restart(); err != nil {
		t.Fatal(err)
	}
	f.Until(func() bool { return ready(t) == "200 ok" }, func() string { return "it is not ready: " + ready(t) })

	// What is taken away later ends nothing, is told, and heals.
	for _, taken := range []struct{ take, isReady, told, give string }{
		{"REVOKE SELECT ON multi_interface FROM dispatcher@'%'", needsSomebody, "GRANT SELECT, UPDATE (netplan_success)", mariadb.Grants("dispatcher")},
		{
			"REVOKE UPDATE (netplan_success) ON multi_interface FROM dispatcher@'%'", needsSomebody, "GRANT SELECT, UPDATE (netplan_success)",
			mariadb.Grants("dispatcher"),
		},
		{"SET GLOBAL read_only = 1", passes, "is read-only: --db-host must be the writable server", "SET GLOBAL read_only = 0"},
	} {
		before := len(f.Dispatcher.Log())
		f.SQL(taken.take)
		f.SQL("UPDATE multi_interface SET netplan_success = 0")
		f.Until(func() bool {
			return ready(t) == taken.isReady && strings.Contains(f.Dispatcher.Log()[before:], taken.told)
		}, func() string { return taken.take + ": " + ready(t) })
		f.SQL(taken.give)
		f.AwaitAll()
		f.Until(func() bool { return ready(t) == "200 ok" }, func() string { return taken.give + ": " + ready(t) })
		right(t, n, rows)
	}
}

func TestAHostWithoutADatabaseIsNamedAndTriedAgain(t *testing.T) {
	f := newFleet(t)
	port := strconv.Itoa(f.DB.Port())
	for _, host := range []string{"127.0.0.2", "nowhere.invalid"} {
		process, err := program.Start("dispatcher", f.Command("--db-host="+host))
		if err != nil {
			t.Fatal(err)
		}
		want := "the database at " + host + ":" + port + " cannot be reached (--db-host, --db-port): "
		f.Until(func() bool { return ready(t) == passes && strings.Contains(process.Log(), want) },
			func() string { return "it is ready as follows: " + ready(t) })
		// It has not given up, and ends in good order only when it is told to.
		if err := process.Stop(); err != nil || !strings.Contains(process.Log(), want) {
			t.Errorf("%s: error %v, it said: %s", host, err, process.Log())
		}
	}
}

// What /readyz answers where the database does not do what it should. Its address and account are in the log alone.
const (
	passes        = "503 the table cannot be read or written now: it is tried again; the dispatcher's log says why"
	needsSomebody = "503 the table cannot be read or written: a setting or the database must be changed; the dispatcher's log says which, and how"
)

// ready is what the dispatcher's /readyz answers.
func ready(t *testing.T) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+fleet.DispatcherHTTP+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err.Error()
	}
	return strconv.Itoa(answer.StatusCode) + " " + strings.TrimSpace(string(text))
}

func TestABadSettingIsOneLineAndExit2(t *testing.T) {
	f := newFleet(t)
	for _, test := range []struct {
		cmd  *exec.Cmd
		want string
	}{
		{exec.CommandContext(t.Context(), programs.Dispatcher), "multinic-dispatcher: missing flags: "},
		{f.Command("--identity=none"), `multinic-dispatcher: --identity (IDENTITY) is "none": `},
		{f.Command("--listen=:8443"), `multinic-dispatcher: --listen (LISTEN) is ":8443": `},
		{f.Command("--poll-interval=soon"), "multinic-dispatcher: --poll-interval"},
		{exec.CommandContext(t.Context(), programs.Executor), "multinic-executor: --dispatcher (DISPATCHER) is not set: "},
		{exec.CommandContext(t.Context(), programs.Executor, "--dispatcher=192.0.2.1:8443", "--identity=insecure", "--backend=netlink"),
			`multinic-executor: --dispatcher (DISPATCHER) is "192.0.2.1:8443", `},
		{exec.CommandContext(t.Context(), programs.Executor, "--dispatcher=unix:/s", "--identity=insecure", "--backend=wicked"),
			`multinic-executor: --backend (BACKEND) is "wicked": `},
		{exec.CommandContext(t.Context(), programs.Executor, "--dispatcher=unix:/s", "--identity=insecure", "--host-root="+t.TempDir(), "--state-dir="+t.TempDir()),
			`multinic-executor: --backend (BACKEND) is auto, and --host-root (HOST_ROOT) is `},
	} {
		process, err := program.Start("program", test.cmd)
		if err != nil {
			t.Fatal(err)
		}
		code, err := process.Wait(fleet.Patience)
		if said := process.Log(); err != nil || code != 2 || !strings.HasPrefix(said, test.want) || strings.Count(said, "\n") != 1 {
			t.Errorf("%v: exit %d, error %v, it said %q", test.cmd.Args[1:], code, err, said)
		}
	}
}

func TestVersionsAreTold(t *testing.T) {
	for path, want := range map[string]string{programs.Dispatcher: "multinic-dispatcher lab\n", programs.Executor: "multinic-executor lab\n"} {
		said, err := exec.CommandContext(t.Context(), path, "--version").Output()
		if err != nil || string(said) != want {
			t.Errorf("%s --version: %q, error %v", path, said, err)
		}
	}
}
