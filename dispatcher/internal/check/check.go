package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	multinicv1 "multinic.dev/proto/multinic/v1"
)

const (
	// pageSize is how many nodes are asked for at a time: the most that the dispatcher answers with.
	pageSize = 1000
	// again is how long to wait from one look to the next.
	again = time.Second
	// lookTimeout is how long one look may take: ten thousand nodes take some seconds.
	lookTimeout = 30 * time.Second
)

// Settings are what a check needs.
type Settings struct {
	// Dispatcher is where gRPC is served, host:port.
	Dispatcher string
	// TLSCA is the path of the CAs of its certificate, in PEM, and TokenFile that of a token that may list nodes.
	TLSCA, TokenFile string
	// MinSessions is how many nodes must be in session at least.
	MinSessions int
	// Timeout is how long the installation may take to come to work.
	Timeout time.Duration
}

// SettingError is a setting that cannot be used.
type SettingError struct{ cause error }

func (e *SettingError) Error() string { return e.cause.Error() }

// Unwrap is what is wrong with the setting.
func (e *SettingError) Unwrap() error { return e.cause }

// Run looks at an installation until it works, or the timeout is over, or ctx ends, and prints the last that it saw of each node to out, one line
// for each. It says why the installation does not work; nil: it does. It looks again because executors are still coming right after an
// installation. Errors are one line; a *SettingError is one that no waiting changes.
func Run(ctx context.Context, settings Settings, out io.Writer) error {
	tick := time.NewTicker(again)
	defer tick.Stop()

	return run(ctx, settings, out, func(ctx context.Context) bool {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
			return true
		}
	})
}

// run is Run, which pauses after each look, and ends where that says so.
func run(ctx context.Context, settings Settings, out io.Writer, pause func(context.Context) bool) error {
	connection, err := dial(settings)
	if err != nil {
		return err
	}
	defer func() { _ = connection.Close() }() // Nothing depends on how it ends.
	ctx, cancel := context.WithTimeout(ctx, settings.Timeout)
	defer cancel()
	var seen *picture
	var last error
	for more := true; more; more = pause(ctx) {
		looked, problem := look(ctx, connection)
		if looked != nil {
			seen = looked
		}
		if problem == nil {
			problem = seen.verdict(settings.MinSessions)
		}
		if problem == nil {
			return seen.print(out, fmt.Sprintf("it works: of %d nodes %d are in session", seen.nodes, seen.sessions))
		}
		// What the end cuts off says less than the look before it.
		if last == nil || ctx.Err() == nil {
			last = problem
		}
	}
	if err := seen.print(out); err != nil {
		return err
	}

	return last
}

// print prints a line for each node, and further ones. Without a picture there are none.
func (p *picture) print(out io.Writer, further ...string) error {
	if p == nil {
		return nil
	}
	for _, one := range append(p.lines, further...) {
		if _, err := fmt.Fprintln(out, one); err != nil {
			return fmt.Errorf("print what was seen: %w", err)
		}
	}

	return nil
}

// look asks once for all that there is. With an error there is a picture where it is an old one.
func look(ctx context.Context, connection *grpc.ClientConn) (*picture, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	health, err := healthv1.NewHealthClient(connection).Check(ctx, &healthv1.HealthCheckRequest{})
	if err != nil {
		return nil, remedy(err)
	}
	fleet, seen, page := multinicv1.NewFleetServiceClient(connection), &picture{}, ""
	for {
		answer, err := fleet.ListNodes(ctx, &multinicv1.ListNodesRequest{PageSize: pageSize, PageToken: page})
		if err != nil {
			return nil, remedy(err)
		}
		for _, node := range answer.GetNodes() {
			seen.add(node)
		}
		if page = answer.GetNextPageToken(); page == "" {
			break
		}
	}
	// Asked first and said last: if the table was never read, the answer to the other question says why.
	if health.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		return seen, errors.New("the dispatcher answers, and its picture is old: it cannot read the table now; its log and /readyz say why")
	}

	return seen, nil
}

// remedy says what to do about a call that failed.
func remedy(err error) error {
	said := strings.Join(strings.Fields(status.Convert(err).Message()), " ")
	var advice string
	switch status.Code(err) {
	case codes.Unauthenticated:
		advice = "look into the dispatcher's log for why it does not believe the token; it must be for the dispatcher's --audience, and not be over"
	case codes.PermissionDenied:
		advice = "bind a role to the token's account that may get /multinic.v1.FleetService/ListNodes, such as the chart's viewer"
	case codes.Unimplemented:
		advice = "use the check of the dispatcher's own version"
	case codes.Unavailable, codes.DeadlineExceeded:
		advice = "look whether the dispatcher runs and what its log says, whether a network policy keeps this caller out, " +
			"and whether --tls-ca has the CA of its certificate"
	default:
		advice = "look into the dispatcher's log"
	}

	return fmt.Errorf("the dispatcher does not answer (%s: %s): %s", status.Code(err), said, advice)
}

// dial is a connection, which is made when it is first used.
func dial(settings Settings) (*grpc.ClientConn, error) {
	text, err := os.ReadFile(settings.TLSCA)
	if err != nil {
		return nil, &SettingError{fmt.Errorf("--tls-ca (TLS_CA): %w", err)}
	}
	cas := x509.NewCertPool()
	if !cas.AppendCertsFromPEM(text) {
		return nil, &SettingError{fmt.Errorf("--tls-ca (TLS_CA): %s has no certificate in PEM", settings.TLSCA)}
	}
	if _, err := readToken(settings.TokenFile); err != nil {
		return nil, &SettingError{fmt.Errorf("--token-file (TOKEN_FILE): %w", err)}
	}
	// Not gRPC's own waits, which grow to two minutes: a dispatcher that comes is to be seen.
	connect := grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: again, Multiplier: 1, MaxDelay: again}, MinConnectTimeout: lookTimeout}
	connection, err := grpc.NewClient(settings.Dispatcher, grpc.WithNoProxy(), grpc.WithConnectParams(connect),
		grpc.WithPerRPCCredentials(bearer(settings.TokenFile)),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, RootCAs: cas})))
	if err != nil {
		return nil, &SettingError{fmt.Errorf("--dispatcher (DISPATCHER) is %q: %w", settings.Dispatcher, err)}
	}

	return connection, nil
}

// bearer is the path of a token that goes with each call.
type bearer string

var _ credentials.PerRPCCredentials = bearer("")

// GetRequestMetadata reads the token anew: a kubelet replaces it before its time is over.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, err := readToken(string(b))
	if err != nil {
		return nil, fmt.Errorf("--token-file (TOKEN_FILE): %w", err)
	}

	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity keeps the token from going out in plain text.
func (bearer) RequireTransportSecurity() bool { return true }

// readToken reads a token. Errors never quote it.
func readToken(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err //nolint:wrapcheck // it names the file and what is wrong
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, " \r\n\t") {
		return "", fmt.Errorf("%s: it must have one token and nothing else", path)
	}

	return token, nil
}
