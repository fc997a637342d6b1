package config_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"multinic.dev/dispatcher/internal/config"
)

func parseCheck(t *testing.T, args ...string) (*config.Check, error) {
	t.Helper()

	return config.ParseCheck(args, "v1", &bytes.Buffer{}, func(int) { t.Error("exit was called") })
}

func TestACheckHasSettingsOfItsOwn(t *testing.T) {
	t.Setenv("DISPATCHER", "from-environment:1")
	got, err := parseCheck(t, "--tls-ca=ca", "--token-file=token")
	if err != nil || *got != (config.Check{Dispatcher: "from-environment:1", TLSCA: "ca", TokenFile: "token", MinSessions: 1, Timeout: 2 * time.Minute}) {
		t.Errorf("settings %+v, error %v", got, err)
	}
}

func TestABadSettingOfACheckIsNamedInOneLine(t *testing.T) {
	enough := func(more ...string) []string {
		return append([]string{"--dispatcher=d:1", "--tls-ca=ca", "--token-file=token"}, more...)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "missing flags: --dispatcher=HOST:PORT, --tls-ca=FILE, --token-file=FILE"},
		{enough("--dispatcher=d"), `--dispatcher (DISPATCHER) is "d": write host:port`},
		{enough("--dispatcher=:1"), `--dispatcher (DISPATCHER) is ":1"`},
		{enough("--dispatcher=d:0"), `--dispatcher (DISPATCHER) is "d:0"`},
		{enough("--tls-ca="), "--tls-ca (TLS_CA) is empty"},
		{enough("--token-file="), "--token-file (TOKEN_FILE) is empty"},
		{enough("--min-sessions=-1"), "--min-sessions (MIN_SESSIONS) is -1: write 0 or more"},
		{enough("--timeout=0s"), "--timeout (TIMEOUT) is 0s"},
		{enough("--db-host=db"), "unknown flag --db-host"},
	} {
		_, err := parseCheck(t, test.args...)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: error %v\nwant %s", test.args, err, test.want)
		}
	}
}
