package config_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"multinic.dev/executor/internal/config"
)

// least are arguments that set no more than must be set.
func least(further ...string) []string {
	return append([]string{"--dispatcher=127.0.0.1:8443", "--identity=insecure", "--backend=netlink"}, further...)
}

// parse reads the settings in an environment that has nothing but what is given.
func parse(t *testing.T, environment map[string]string, args ...string) (*config.Config, error) {
	t.Helper()
	for _, name := range []string{"DISPATCHER", "IDENTITY", "NODE_NAME", "BACKEND", "HOST_ROOT", "STATE_DIR", "HTTP_LISTEN", "MODE", "NODE_IP", "CONFIRM_TIMEOUT", "ACTIVATION", "TAKE_DHCP",
		"TLS_CA", "TLS_CERT", "TLS_KEY", "TOKEN_FILE"} {
		value, found := environment[name]
		t.Setenv(name, value) // So that it is put back afterwards, also where it is taken away now.
		if !found {
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}

	return config.Parse(args, "1.2.3", io.Discard, func(int) {}, func() (string, error) { return "host", nil })
}

func TestWhatIsNotSetHasItsDefault(t *testing.T) {
	got, err := parse(t, nil, least()...)
	want := config.Config{
		Dispatcher: "127.0.0.1:8443", Identity: "insecure", NodeName: "host", Backend: "netlink", HostRoot: "/",
		StateDir: "/var/lib/multinic", HTTPListen: "127.0.0.1:8081", Mode: "apply", Activation: "auto", ConfirmTimeout: 5 * time.Second, Command: "run",
	}
	if err != nil || *got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func TestEachSettingIsReadFromTheEnvironment(t *testing.T) {
	environment := map[string]string{
		"DISPATCHER": "unix:/run/dispatcher", "IDENTITY": "insecure", "NODE_NAME": "worker-1", "BACKEND": "netlink",
		"STATE_DIR": "/state", "HOST_ROOT": "/host", "HTTP_LISTEN": "none", "MODE": "observe", "NODE_IP": "192.0.2.10", "CONFIRM_TIMEOUT": "1s",
		"ACTIVATION": "kernel",
	}
	got, err := parse(t, environment)
	want := config.Config{
		Dispatcher: "unix:/run/dispatcher", Identity: "insecure", NodeName: "worker-1", Backend: "netlink", HostRoot: "/host", StateDir: "/state", HTTPListen: "none",
		Mode: "observe", NodeIP: "192.0.2.10", Activation: "kernel", ConfirmTimeout: time.Second, Command: "run",
	}
	if err != nil || *got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if got, err = parse(t, environment, "--node-name=flag"); err != nil || got.NodeName != "flag" {
		t.Errorf("a flag and the environment: %+v, %v", got, err)
	}
}

func TestEachIdentityHasItsSettings(t *testing.T) {
	got, err := parse(t, map[string]string{"TLS_CA": "ca", "TLS_CERT": "c", "TLS_KEY": "k"}, "--dispatcher=dispatcher:8443", "--identity=mtls")
	if err != nil || got.TLSCA != "ca" || got.TLSCert != "c" || got.TLSKey != "k" {
		t.Errorf("mtls: %+v, %v", got, err)
	}
	got, err = parse(t, map[string]string{"TLS_CA": "ca", "TOKEN_FILE": "t"}, "--dispatcher=dispatcher:8443", "--identity=kubernetes")
	if err != nil || got.TLSCA != "ca" || got.TokenFile != "t" {
		t.Errorf("kubernetes: %+v, %v", got, err)
	}
}

func TestABadSettingIsNamedWithItsValueAndTheRemedy(t *testing.T) {
	long := strings.Repeat("n", 513)
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing", nil, "--dispatcher (DISPATCHER) is not set: write host:port, such as 127.0.0.1:8443, or unix:/path"},
		{"no port", least("--dispatcher=localhost"), `--dispatcher (DISPATCHER) is "localhost": write host:port, such as 127.0.0.1:8443, or unix:/path`},
		{"a port that is none", least("--dispatcher=localhost:99999"), `--dispatcher (DISPATCHER) is "localhost:99999": write host:port, such as 127.0.0.1:8443, or unix:/path`},
		{"no path", least("--dispatcher=unix:sock"), `--dispatcher (DISPATCHER) is "unix:sock", which lacks an absolute path: write host:port, such as 127.0.0.1:8443, or unix:/path`},
		{"plain text to elsewhere", least("--dispatcher=192.0.2.1:8443"), `--dispatcher (DISPATCHER) is "192.0.2.1:8443", and --identity=insecure sends plain text: write a loopback address, such as 127.0.0.1:8443, or unix:/path`},
		{"plain text to a name", least("--dispatcher=dispatcher:8443"), `--dispatcher (DISPATCHER) is "dispatcher:8443", and --identity=insecure sends plain text: write a loopback address, such as 127.0.0.1:8443, or unix:/path`},
		{"no identity", []string{"--dispatcher=localhost:1"}, "--identity (IDENTITY) is not set: write kubernetes, mtls or insecure"},
		{"an unknown identity", least("--identity=none"), `--identity (IDENTITY) is "none": write kubernetes, mtls or insecure`},
		{"a CA for nothing", least("--tls-ca=f"), "--tls-ca (TLS_CA) is set, and does not fit --identity=insecure: leave it out"},
		{"a certificate for nothing", least("--tls-cert=f"), "--tls-cert (TLS_CERT) is set, and does not fit --identity=insecure: leave it out"},
		{"a key for nothing", least("--tls-key=f"), "--tls-key (TLS_KEY) is set, and does not fit --identity=insecure: leave it out"},
		{"a token for nothing", least("--token-file=f"), "--token-file (TOKEN_FILE) is set, and does not fit --identity=insecure: leave it out"},
		{"no CA", least("--identity=mtls"), "--tls-ca (TLS_CA) is not set, and --identity=mtls needs it: write a file"},
		{"no certificate", least("--identity=mtls", "--tls-ca=f"), "--tls-cert (TLS_CERT) is not set, and --identity=mtls needs it: write a file"},
		{"no key", least("--identity=mtls", "--tls-ca=f", "--tls-cert=f"), "--tls-key (TLS_KEY) is not set, and --identity=mtls needs it: write a file"},
		{"a token beside a certificate", least("--identity=mtls", "--tls-ca=f", "--tls-cert=f", "--tls-key=f", "--token-file=f"),
			"--token-file (TOKEN_FILE) is set, and does not fit --identity=mtls: leave it out"},
		{"no token", least("--identity=kubernetes", "--tls-ca=f"), "--token-file (TOKEN_FILE) is not set, and --identity=kubernetes needs it: write a file"},
		{"a certificate beside a token", least("--identity=kubernetes", "--tls-ca=f", "--token-file=f", "--tls-cert=f"),
			"--tls-cert (TLS_CERT) is set, and does not fit --identity=kubernetes: leave it out"},
		{"an unknown backend", least("--backend=ifupdown"), `--backend (BACKEND) is "ifupdown": write auto, netplan or netlink`},
		{"a root that is nowhere", least("--host-root=host"), `--host-root (HOST_ROOT) is "host": write an absolute path, such as / or /host`},
		{"a long name", least("--node-name=" + long), `--node-name (NODE_NAME) is "` + long + `": write a name of at most 512 bytes of UTF-8`},
		{"no directory", least("--state-dir="), "--state-dir (STATE_DIR) is empty: write a directory, such as /var/lib/multinic"},
		{"no HTTP address", least("--http-listen=8081"), `--http-listen (HTTP_LISTEN) is "8081": write host:port, such as 127.0.0.1:8081, or none`},
		{"a mode that is none", least("--mode=dry-run"), `--mode (MODE) is "dry-run": write apply or observe`},
		{"an activation that is none", least("--activation=networkd"), `--activation (ACTIVATION) is "networkd": write auto, manager or kernel`},
		{"no manager", least("--activation=manager"), "--activation (ACTIVATION) is manager, and --backend (BACKEND) netlink is for hosts without one: write kernel or auto"},
		{"nobody to take from", least("--take-dhcp"), "--take-dhcp (TAKE_DHCP) takes NICs from the host's network manager, and --backend (BACKEND) netlink is for hosts without one: leave it out"},
		{"nobody who could be told", least("--take-dhcp", "--backend=netplan", "--activation=kernel"), "--take-dhcp (TAKE_DHCP) needs the host's network manager to be told, and --activation (ACTIVATION) is kernel: write auto or manager"},
		{"an address that is none", least("--node-ip=host"), `--node-ip (NODE_IP) is "host": write the node's own address, such as 192.0.2.10, or nothing`},
		{"a loopback address", least("--node-ip=127.0.0.1"), `--node-ip (NODE_IP) is "127.0.0.1": write the node's own address, such as 192.0.2.10, or nothing`},
		{"no time", least("--confirm-timeout=0s"), `--confirm-timeout (CONFIRM_TIMEOUT) is "0s": write a time of up to one minute, such as 5s`},
		{"status without a directory", []string{"status", "--state-dir="}, "--state-dir (STATE_DIR) is empty: write a directory, such as /var/lib/multinic"},
		{"an unknown flag", least("--force"), "unknown flag --force: see --help"},
		{"a word", least("now"), "unexpected argument now: see --help"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parse(t, nil, test.args...)
			if err == nil || err.Error() != test.want {
				t.Errorf("got %+v, %v\nwant: %s", got, err, test.want)
			}
		})
	}
}

func TestStatusAndCleanupNeedADirectoryAlone(t *testing.T) {
	for _, command := range []string{"status", "cleanup"} {
		got, err := parse(t, nil, command, "--state-dir=/state")
		if err != nil || got.Command != command || got.StateDir != "/state" {
			t.Errorf("%s: %+v, %v", command, got, err)
		}
	}
}

func TestAHostWithoutANameIsSaid(t *testing.T) {
	t.Setenv("NODE_NAME", "")
	_, err := config.Parse(least(), "1.2.3", io.Discard, nil, func() (string, error) { return "", errors.New("it has none") })
	const want = "--node-name (NODE_NAME) is not set and the host's name cannot be read (it has none): write the node's name"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want: %s", err, want)
	}
}

func TestVersionAndHelpArePrinted(t *testing.T) {
	for flag, want := range map[string]string{"--version": "multinic-executor 1.2.3\n", "--help": "Usage: multinic-executor <command> [flags]"} {
		var out strings.Builder
		exited := -1
		_, _ = config.Parse([]string{flag}, "1.2.3", &out, func(code int) { exited = code }, func() (string, error) { return "host", nil })
		if exited != 0 || !strings.HasPrefix(out.String(), want) {
			t.Errorf("%s: exit %d, printed:\n%s", flag, exited, out.String())
		}
	}
}
