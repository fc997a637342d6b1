package identity_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"multinic.dev/dispatcher/internal/identity"
)

func TestInsecureListensWhereNobodyElseComes(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:8443": "", "127.9.9.9:0": "", "[::1]:8443": "", "localhost:8443": "", "unix:/run/s": "",
		":8443": "believes every caller", "0.0.0.0:8443": "believes every caller", "[::]:8443": "believes every caller",
		"192.0.2.1:8443": "believes every caller", "example.com:8443": "believes every caller", "[::ffff:192.0.2.1]:8443": "believes every caller",
		"localhost.example.com:1": "believes every caller", "127.0.0.1": "that is no address", "unix:": "path of the socket is missing", "": "that is no address",
	} {
		err := identity.CheckInsecure(address)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: error %v, want %q", address, err, want)
		}
	}
	if _, err := identity.ListenInsecure(t.Context(), ":0"); err == nil {
		t.Error("it listens where it must not")
	}
}

func TestASocketThatNobodyListensOnIsReplacedAndNothingElse(t *testing.T) {
	dir, err := os.MkdirTemp("", "i-") //nolint:usetesting // short: a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	listen := func() (net.Listener, error) { return identity.ListenInsecure(t.Context(), "unix:"+path) }

	first, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, error %v", info.Mode(), err)
	}
	if _, err := listen(); err == nil || !strings.Contains(err.Error(), "another program listens on "+path) {
		t.Errorf("a socket in use: %v", err)
	}
	asKilled, ok := first.(*net.UnixListener)
	if !ok {
		t.Fatalf("the listener is a %T", first)
	}
	asKilled.SetUnlinkOnClose(false)
	_ = first.Close()
	second, err := listen()
	if err != nil {
		t.Fatalf("a socket that nobody listens on: %v", err)
	}
	_ = second.Close()

	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen(); err == nil {
		t.Error("it listens in the place of a file")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("the file has become %q, error %v", text, err)
	}
}
