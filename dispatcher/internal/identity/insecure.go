package identity

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// unixPrefix begins the address of a unix socket, as gRPC has it.
const unixPrefix = "unix:"

// CheckInsecure says why the identity "insecure", which believes every caller and encrypts nothing, must not listen on an
// address: anything but a loopback address ("127.0.0.1:8443", "[::1]:8443", "localhost:8443") or a unix socket
// ("unix:/run/multinic.sock") is open to others.
func CheckInsecure(address string) error {
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		if path == "" {
			return errors.New("the path of the socket is missing: write unix:/path/to/socket")
		}

		return nil
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("that is no address: write 127.0.0.1:8443 or unix:/path/to/socket (%w)", err)
	}
	if ip, err := netip.ParseAddr(host); host == "localhost" || err == nil && ip.IsLoopback() {
		return nil
	}

	return errors.New("--identity=insecure believes every caller, so it listens on loopback or a unix socket alone:" +
		" write 127.0.0.1:8443 or unix:/path/to/socket")
}

// Insecure is the identity "insecure": each caller is believed, and nothing is encrypted.
type Insecure struct{}

var _ Identity = Insecure{}

// Credentials protect nothing.
func (Insecure) Credentials() credentials.TransportCredentials { return insecure.NewCredentials() }

// Authorize believes each caller.
func (Insecure) Authorize(context.Context, string) (Caller, error) { return Caller{}, nil }

// ListenInsecure is Listen for an address that CheckInsecure lets pass.
func ListenInsecure(ctx context.Context, address string) (net.Listener, error) {
	if err := CheckInsecure(address); err != nil {
		return nil, err
	}

	return Listen(ctx, address)
}

// Listen listens on an address, host:port or unix:/path. Of a unix socket it takes the place of one that nobody listens on any
// more; only this user can connect to it.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(address, unixPrefix)
	if !isUnix {
		return (&net.ListenConfig{}).Listen(ctx, "tcp", address) //nolint:wrapcheck // it names the address and what is wrong
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the address and what is wrong
	}
	const onlyThisUser = 0o600
	if err := os.Chmod(path, onlyThisUser); err != nil {
		return nil, errors.Join(fmt.Errorf("protect the socket: %w", err), listener.Close())
	}

	return listener, nil
}

// removeStale removes a socket that a killed dispatcher left behind. What else stands there is left, and said by Listen.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return nil //nolint:nilerr // Listen says what is wrong with the path
	}
	const enough = time.Second
	connection, err := (&net.Dialer{Timeout: enough}).DialContext(ctx, "unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("another program listens on %s: stop it, or choose another path", path), connection.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove a socket that nobody listens on: %w", err)
	}

	return nil
}
