package session

import (
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"
)

const (
	// pingAfter is how long a connection may be silent before it is asked whether it is still there, and pingTimeout how long
	// the answer may take. A dispatcher that vanished without a word is so found out within half a minute; one that
	// allows no ping within 10 s of the last is content, and 10,000 nodes cost it 500 pings a second at rest.
	pingAfter   = 20 * time.Second
	pingTimeout = 10 * time.Second
	// connectTimeout is how long to wait for a dispatcher that does not even refuse.
	connectTimeout = 10 * time.Second
	// maxMessage is the most that is received or sent at a time, in bytes. A full picture has some 30 KiB.
	maxMessage = 1 << 20
)

// Dial returns a connection to an address, host:port or unix:/path. Further options say how it is protected; it connects when it is
// first used.
func Dial(address string, further ...grpc.DialOption) (*grpc.ClientConn, error) {
	options := []grpc.DialOption{
		grpc.WithNoProxy(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout, PermitWithoutStream: true}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectTimeout}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
	}

	if !strings.HasPrefix(address, "unix:") {
		options = append(options, grpc.WithContextDialer(connect))
	}

	return grpc.NewClient(address, append(options, further...)...) //nolint:wrapcheck // the caller says where to
}
