package loop_test

import (
	"net"
	"os/exec"
	"strings"
	"testing"
)

// TestACheckEndsAsItFound: with 2 for a setting, and with 1 for an installation that does not work, with the remedy in the last line.
func TestACheckEndsAsItFound(t *testing.T) {
	c := newTrust(t)
	// A port that nobody has, and nobody else takes: the sandbox's network is the suite's alone.
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	files := c.volume()
	files.Put(map[string][]byte{"ca": c.servers.PEM, "token": []byte("one\n")})
	for _, test := range []struct {
		name, ca, want string
		code           int
	}{
		{"no file", "/nonexistent", "multinic-dispatcher: --tls-ca (TLS_CA): open /nonexistent: no such file or directory", 2},
		{"nobody", files.Path("ca"), "multinic-dispatcher: the dispatcher does not answer (Unavailable: ", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			said := ends(t, exec.CommandContext(t.Context(), programs.Dispatcher, "check", "--dispatcher="+free, "--tls-ca="+test.ca,
				"--token-file="+files.Path("token"), "--timeout=3s"), test.code)
			if !strings.HasPrefix(said, test.want) {
				t.Errorf("it said %q", said)
			}
		})
	}
}
