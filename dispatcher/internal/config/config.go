// Package config reads the dispatcher's settings from flags and the environment.
package config

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// Config is the settings, each checked.
type Config struct {
	DBHost         string        `name:"db-host" env:"DB_HOST" required:"" help:"Host of the writable MariaDB server."`
	DBPort         int           `name:"db-port" env:"DB_PORT" default:"3306" help:"Its port."`
	DBUser         string        `name:"db-user" env:"DB_USER" required:"" help:"Account that may SELECT multi_interface and UPDATE its netplan_success."`
	DBName         string        `name:"db-name" env:"DB_NAME" required:"" help:"Database that has the table multi_interface."`
	DBPasswordFile string        `name:"db-password-file" env:"DB_PASSWORD_FILE" help:"File with its password, read at each new connection. Or DB_PASSWORD."`
	Identity       string        `name:"identity" env:"IDENTITY" required:"" help:"${identity}"`
	TLSCert        string        `name:"tls-cert" env:"TLS_CERT" placeholder:"FILE" help:"The dispatcher's certificate, in PEM."`
	TLSKey         string        `name:"tls-key" env:"TLS_KEY" placeholder:"FILE" help:"Its key, in PEM."`
	ClientCA       string        `name:"client-ca" env:"CLIENT_CA" placeholder:"FILE" help:"CAs of the callers' certificates, in PEM, for mtls."`
	Executors      string        `name:"executor-service-account" env:"EXECUTOR_SERVICE_ACCOUNT" placeholder:"NAMESPACE/NAME" help:"${executors}"`
	Audience       string        `name:"audience" env:"AUDIENCE" placeholder:"multinic-dispatcher" help:"What tokens must be meant for, for kubernetes."`
	Kubeconfig     string        `name:"kubeconfig" env:"KUBECONFIG" placeholder:"FILE" help:"${kubeconfig}"`
	MaxSessions    int           `name:"max-sessions" env:"MAX_SESSIONS" default:"20000" help:"How many sessions there may be at once."`
	Listen         string        `name:"listen" env:"LISTEN" default:":8443" help:"Where gRPC is served: host:port or unix:/path."`
	HTTPListen     string        `name:"http-listen" env:"HTTP_LISTEN" default:":8080" help:"Where /metrics, /healthz and /readyz are served."`
	PollInterval   time.Duration `name:"poll-interval" env:"POLL_INTERVAL" default:"1s" help:"Time from one look at the table to the next."`
	HoldDown       time.Duration `name:"removal-hold-down" env:"REMOVAL_HOLD_DOWN" default:"60s" help:"How long an interface is kept that no row asks for."`
	GuardShare     Share         `name:"guard-share" env:"GUARD_SHARE" default:"20%" help:"Share of all interfaces that may be removed or changed in a minute."`
	NodeSuffixes   []string      `name:"node-suffixes" env:"NODE_SUFFIXES" placeholder:".SUFFIX,…" help:"What a node's name may lack, in the table or there."`

	Version kong.VersionFlag `name:"version" help:"Print the version and exit."`

	// password is DB_PASSWORD as it was at the start.
	password string
}

// Share is a part of a whole; 1 is all of it.
type Share float64

// UnmarshalText reads a share as people write it, such as 20%.
func (s *Share) UnmarshalText(text []byte) error {
	const whole = 100
	digits, isPercent := strings.CutSuffix(string(text), "%")
	number, err := strconv.ParseFloat(digits, 64)
	if err != nil || !isPercent || !(number >= 0 && number <= whole) {
		return fmt.Errorf("%q is no share: write 0%% to 100%%, such as 20%%", text)
	}
	*s = Share(number / whole)

	return nil
}

// minPoll keeps a typing error from making the dispatcher the database's main load.
const minPoll = 10 * time.Millisecond

// Parse reads arguments and the environment. --help and --version print to out and call exit with 0. An error is one line that
// names the setting.
func Parse(args []string, version string, out io.Writer, exit func(int)) (*Config, error) {
	var config Config
	parser, err := kong.New(&config,
		kong.Name("multinic-dispatcher"),
		kong.Description("Streams each node the interfaces that the table multi_interface gives it, and sets netplan_success once they are verified. "+
			"multinic-dispatcher "+CheckCommand+" --help: how to check that an installation works."),
		kong.Vars{
			"version":    "multinic-dispatcher " + version,
			"executors":  "The executors', for kubernetes.",
			"kubeconfig": "How the API server is reached, for kubernetes. Not set: as a pod does.",
			"identity": "How callers prove who they are. kubernetes: by a token, which the API server reviews. mtls: by a certificate. " +
				"insecure: not at all, for loopback or a unix socket alone.",
		}, kong.Writers(out, out), kong.Exit(exit))
	if err != nil {
		return nil, fmt.Errorf("the settings' definition: %w", err)
	}
	said, err := parser.Parse(args)
	if err != nil {
		return nil, fmt.Errorf("%s (each flag can also be set in the environment; see --help)", oneLine(err))
	}
	config.password = os.Getenv("DB_PASSWORD")
	// KUBECONFIG is there for many programs: only who says it to this one means it.
	if config.Identity != Kubernetes && !slices.ContainsFunc(said.Path, func(one *kong.Path) bool { return one.Flag != nil && one.Flag.Name == "kubeconfig" }) {
		config.Kubeconfig = ""
	}

	return &config, config.check()
}

func (c *Config) check() error {
	const maxPort = 65535
	switch {
	case strings.TrimSpace(c.DBHost) == "":
		return errors.New("--db-host (DB_HOST) is empty: name the host of the writable MariaDB server")
	case c.DBPort < 1 || c.DBPort > maxPort:
		return fmt.Errorf("--db-port (DB_PORT) is %d: ports are 1 to %d", c.DBPort, maxPort)
	case strings.TrimSpace(c.DBUser) == "":
		return errors.New("--db-user (DB_USER) is empty: name the account")
	case strings.TrimSpace(c.DBName) == "":
		return errors.New("--db-name (DB_NAME) is empty: name the database that has the table multi_interface")
	case c.password != "" && c.DBPasswordFile != "":
		return errors.New("DB_PASSWORD and --db-password-file (DB_PASSWORD_FILE) are both set: set one of them")
	case c.PollInterval < minPoll:
		return fmt.Errorf("--poll-interval (POLL_INTERVAL) is %v: write a duration of %v or more, such as 1s", c.PollInterval, minPoll)
	case c.HoldDown < 0:
		return fmt.Errorf("--removal-hold-down (REMOVAL_HOLD_DOWN) is %v: write a duration that is not negative, such as 60s", c.HoldDown)
	case c.MaxSessions < 1:
		return fmt.Errorf("--max-sessions (MAX_SESSIONS) is %d: write 1 or more, such as 20000", c.MaxSessions)
	}
	for _, suffix := range c.NodeSuffixes {
		if len(suffix) < len(".x") || suffix[0] != '.' || strings.ContainsAny(suffix, " \t") {
			return fmt.Errorf("--node-suffixes (NODE_SUFFIXES) has %q: write suffixes that begin with a dot, such as .novalocal, with commas between", suffix)
		}
	}
	if err := c.checkIdentity(); err != nil {
		return err
	}
	if _, _, err := net.SplitHostPort(c.HTTPListen); err != nil {
		return fmt.Errorf("--http-listen (HTTP_LISTEN) is %q: write host:port or :port", c.HTTPListen)
	}
	if c.DBPasswordFile != "" {
		if _, err := c.Password(); err != nil {
			return fmt.Errorf("--db-password-file (DB_PASSWORD_FILE): %w", err)
		}
	}

	return nil
}

// Password is the account's password as it is now: a file may have changed since the last time. Safe concurrently.
func (c *Config) Password() (string, error) {
	if c.DBPasswordFile == "" {
		return c.password, nil
	}
	text, err := os.ReadFile(c.DBPasswordFile)
	if err != nil {
		return "", err //nolint:wrapcheck // it names the file and what is wrong
	}

	return strings.TrimRight(string(text), "\r\n"), nil
}

// oneLine is an error's text in one line, whatever was quoted in it.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
