package config

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/alecthomas/kong"
)

// CheckCommand is the first argument of a dispatcher's program that is to check an installation.
const CheckCommand = "check"

// Check is the settings of the command check, each checked.
type Check struct {
	Dispatcher  string        `name:"dispatcher" env:"DISPATCHER" required:"" placeholder:"HOST:PORT" help:"Where the dispatcher serves gRPC."`
	TLSCA       string        `name:"tls-ca" env:"TLS_CA" required:"" placeholder:"FILE" help:"CAs of the dispatcher's certificate, in PEM."`
	TokenFile   string        `name:"token-file" env:"TOKEN_FILE" required:"" placeholder:"FILE" help:"A token whose account may list nodes."`
	MinSessions int           `name:"min-sessions" env:"MIN_SESSIONS" default:"1" help:"How many nodes must be in session at least, beside each that has rows."`
	Timeout     time.Duration `name:"timeout" env:"TIMEOUT" default:"2m" help:"How long the installation may take to come to work."`

	Version kong.VersionFlag `name:"version" help:"Print the version and exit."`
}

// ParseCheck is Parse for the arguments after the word check.
func ParseCheck(args []string, version string, out io.Writer, exit func(int)) (*Check, error) {
	var check Check
	parser, err := kong.New(&check,
		kong.Name("multinic-dispatcher "+CheckCommand),
		kong.Description("Asks a dispatcher for its nodes, prints one line for each, and says whether the installation works: the dispatcher answers, "+
			"it can read the table, and each node that has rows is in session. Exits with 0 if it does, 1 if not, and 2 for a bad setting."),
		kong.Vars{"version": "multinic-dispatcher " + version}, kong.Writers(out, out), kong.Exit(exit))
	if err != nil {
		return nil, fmt.Errorf("the settings' definition: %w", err)
	}
	if _, err := parser.Parse(args); err != nil {
		return nil, fmt.Errorf("%s (each flag can also be set in the environment; see %s --help)", oneLine(err), CheckCommand)
	}

	return &check, check.check()
}

func (c *Check) check() error {
	host, port, err := net.SplitHostPort(c.Dispatcher)
	number, bad := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || bad != nil || host == "" || number == 0:
		return fmt.Errorf("--dispatcher (DISPATCHER) is %q: write host:port, such as multinic-dispatcher.multinic.svc:8443", c.Dispatcher)
	case c.TLSCA == "":
		return errors.New("--tls-ca (TLS_CA) is empty: write a file")
	case c.TokenFile == "":
		return errors.New("--token-file (TOKEN_FILE) is empty: write a file")
	case c.MinSessions < 0:
		return fmt.Errorf("--min-sessions (MIN_SESSIONS) is %d: write 0 or more", c.MinSessions)
	case c.Timeout <= 0:
		return fmt.Errorf("--timeout (TIMEOUT) is %v: write a duration of more than nothing, such as 2m", c.Timeout)
	}

	return nil
}
