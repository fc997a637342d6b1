package config_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"multinic.dev/dispatcher/internal/config"
)

// enough are settings that nothing is missing from.
func enough(more ...string) []string {
	return append([]string{
		"--db-host=db", "--db-user=u", "--db-name=n", "--identity=insecure", "--listen=127.0.0.1:8443",
	}, more...)
}

func parse(t *testing.T, args ...string) (*config.Config, error) {
	t.Helper()

	return config.Parse(args, "v1", &bytes.Buffer{}, func(int) { t.Error("exit was called") })
}

func TestSettingsComeFromFlagsAndTheEnvironment(t *testing.T) {
	t.Setenv("DB_HOST", "from-environment")
	t.Setenv("DB_PORT", "3307")
	t.Setenv("DB_USER", "from-environment")
	t.Setenv("DB_NAME", "n")
	t.Setenv("DB_PASSWORD", "p")
	t.Setenv("IDENTITY", "insecure")
	t.Setenv("LISTEN", "unix:/run/s")
	t.Setenv("HTTP_LISTEN", "127.0.0.1:1")
	t.Setenv("POLL_INTERVAL", "2s")
	t.Setenv("REMOVAL_HOLD_DOWN", "0s")
	t.Setenv("GUARD_SHARE", "12.5%")
	t.Setenv("NODE_SUFFIXES", ".novalocal,.internal")
	got, err := parse(t, "--db-user=from-flag")
	if err != nil {
		t.Fatal(err)
	}
	password, err := got.Password()
	if got.DBHost != "from-environment" || got.DBPort != 3307 || got.DBUser != "from-flag" || got.DBName != "n" || password != "p" || err != nil ||
		got.Listen != "unix:/run/s" || got.HTTPListen != "127.0.0.1:1" || got.PollInterval != 2*time.Second ||
		got.HoldDown != 0 || got.GuardShare != 0.125 || !slices.Equal(got.NodeSuffixes, []string{".novalocal", ".internal"}) {
		t.Errorf("settings %+v, password %q, error %v", got, password, err)
	}
}

func TestWhatIsNotSaidHasItsDefault(t *testing.T) {
	got, err := parse(t, enough()...)
	if err != nil || got.DBPort != 3306 || got.HTTPListen != ":8080" || got.PollInterval != time.Second {
		t.Errorf("settings %+v, error %v", got, err)
	}
}

func TestEachIdentityHasItsSettings(t *testing.T) {
	t.Setenv("KUBECONFIG", "/for/other/programs")
	tls := []string{"--listen=:8443", "--tls-cert=c", "--tls-key=k"}
	got, err := parse(t, enough(append(tls, "--identity=mtls", "--client-ca=ca")...)...)
	if err != nil || got.TLSCert != "c" || got.TLSKey != "k" || got.ClientCA != "ca" || got.Kubeconfig != "" || got.MaxSessions != 20000 {
		t.Errorf("mtls: %+v, error %v", got, err)
	}
	got, err = parse(t, enough(append(tls, "--identity=kubernetes", "--executor-service-account=ns/executor")...)...)
	if err != nil || got.Executors != "ns/executor" || got.Audience != "multinic-dispatcher" || got.Kubeconfig != "/for/other/programs" {
		t.Errorf("kubernetes: %+v, error %v", got, err)
	}
	if got, err = parse(t, enough()...); err != nil || got.Kubeconfig != "" {
		t.Errorf("insecure: %+v, error %v", got, err)
	}
}

func TestABadSettingIsNamedInOneLine(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "missing flags: --db-host=STRING, --db-name=STRING, --db-user=STRING, --identity=STRING"},
		{enough("--db-host="), "--db-host (DB_HOST) is empty"},
		{enough("--db-user="), "--db-user (DB_USER) is empty"},
		{enough("--db-name="), "--db-name (DB_NAME) is empty"},
		{enough("--db-port=x"), "--db-port"},
		{enough("--db-port=0"), "--db-port (DB_PORT) is 0"},
		{enough("--db-port=65536"), "--db-port (DB_PORT) is 65536"},
		{enough("--poll-interval=5"), "--poll-interval"},
		{enough("--poll-interval=1ms"), "--poll-interval (POLL_INTERVAL) is 1ms: write a duration of 10ms or more"},
		{enough("--poll-interval=-1s"), "--poll-interval (POLL_INTERVAL) is -1s"},
		{enough("--identity=none"), `--identity (IDENTITY) is "none": write kubernetes, mtls or insecure`},
		{enough("--max-sessions=0"), `--max-sessions (MAX_SESSIONS) is 0: write 1 or more`},
		{enough("--tls-cert=c"), "--tls-cert (TLS_CERT) is set, and does not fit --identity=insecure: leave it out"},
		{enough("--tls-key=k"), "--tls-key (TLS_KEY) is set, and does not fit --identity=insecure: leave it out"},
		{enough("--client-ca=c"), "--client-ca (CLIENT_CA) is set, and does not fit --identity=insecure: leave it out"},
		{enough("--audience=a"), "--audience (AUDIENCE) is set, and does not fit --identity=insecure: leave it out"},
		{enough("--kubeconfig=k"), "--kubeconfig (KUBECONFIG) is set, and does not fit --identity=insecure: leave it out"},
		{enough("--executor-service-account=a/b"), "--executor-service-account (EXECUTOR_SERVICE_ACCOUNT) is set, and does not fit --identity=insecure: leave it out"},
		{enough("--identity=mtls"), "--tls-cert (TLS_CERT) is not set, and --identity=mtls needs it"},
		{enough("--identity=mtls", "--tls-cert=c"), "--tls-key (TLS_KEY) is not set, and --identity=mtls needs it"},
		{enough("--identity=mtls", "--tls-cert=c", "--tls-key=k"), "--client-ca (CLIENT_CA) is not set, and --identity=mtls needs it"},
		{enough("--identity=mtls", "--tls-cert=c", "--tls-key=k", "--client-ca=c", "--audience=a"), "--audience (AUDIENCE) is set, and does not fit --identity=mtls"},
		{enough("--identity=mtls", "--tls-cert=c", "--tls-key=k", "--client-ca=c", "--listen=8443"), `--listen (LISTEN) is "8443": write host:port, :port or unix:/path/to/socket`},
		{enough("--identity=kubernetes", "--tls-cert=c", "--tls-key=k"), "--executor-service-account (EXECUTOR_SERVICE_ACCOUNT) is not set, and --identity=kubernetes needs it"},
		{enough("--identity=kubernetes", "--tls-cert=c", "--tls-key=k", "--executor-service-account=a/b", "--client-ca=c"), "--client-ca (CLIENT_CA) is set, and does not fit --identity=kubernetes"},
		{enough("--identity=kubernetes", "--tls-cert=c", "--tls-key=k", "--executor-service-account=b"), `--executor-service-account (EXECUTOR_SERVICE_ACCOUNT): "b" is no service account: write NAMESPACE/NAME`},
		{enough("--listen=:8443"), `--listen (LISTEN) is ":8443": --identity=insecure believes every caller`},
		{enough("--listen=192.0.2.1:8443"), `--listen (LISTEN) is "192.0.2.1:8443": --identity=insecure believes every caller`},
		{enough("--listen=nonsense"), `--listen (LISTEN) is "nonsense": that is no address`},
		{enough("--http-listen=nonsense"), `--http-listen (HTTP_LISTEN) is "nonsense": write host:port or :port`},
		{enough("--db-password-file=/nonexistent"), "--db-password-file (DB_PASSWORD_FILE): open /nonexistent: no such file or directory"},
		{enough("--removal-hold-down=-1s"), "--removal-hold-down (REMOVAL_HOLD_DOWN) is -1s: write a duration that is not negative, such as 60s"},
		{enough("--guard-share=0.2"), `"0.2" is no share: write 0% to 100%, such as 20%`},
		{enough("--guard-share=101%"), `"101%" is no share`},
		{enough("--guard-share=-1%"), `"-1%" is no share`},
		{enough("--guard-share=NaN%"), `"NaN%" is no share`},
		{enough("--node-suffixes=novalocal"), `--node-suffixes (NODE_SUFFIXES) has "novalocal": write suffixes that begin with a dot`},
		{enough("--watch=poll"), "unknown flag --watch"},
		{enough("surplus\nargument"), "unexpected argument surplus argument"},
	} {
		_, err := parse(t, test.args...)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %v\nwant %s", test.args, err, test.want)
		}
	}
}

func TestThePasswordIsReadAnewFromItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	got, err := parse(t, enough("--db-password-file="+path)...)
	if err != nil {
		t.Fatal(err)
	}
	first, _ := got.Password()
	write(" second \r\n")
	second, _ := got.Password()
	if first != "first" || second != " second " {
		t.Errorf("passwords %q, %q", first, second)
	}
	t.Setenv("DB_PASSWORD", "p")
	if _, err := parse(t, enough("--db-password-file="+path)...); err == nil || !strings.Contains(err.Error(), "are both set") {
		t.Errorf("two passwords: %v", err)
	}
}

func TestHelpAndVersionPrintAndExit(t *testing.T) {
	for flag, want := range map[string]string{"--version": "multinic-dispatcher v1\n", "--help": "--poll-interval=1s"} {
		var out bytes.Buffer
		code := -1
		_, _ = config.Parse([]string{flag}, "v1", &out, func(c int) { code = c })
		if code != 0 || !strings.Contains(out.String(), want) {
			t.Errorf("%s: exit %d, output %s", flag, code, out.String())
		}
	}
}
