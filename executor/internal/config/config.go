// Package config reads the executor's settings from flags and the environment.
package config

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// Config is the settings, each checked.
type Config struct {
	Dispatcher string `name:"dispatcher" env:"DISPATCHER" placeholder:"ADDRESS" help:"Where the dispatcher serves gRPC: host:port or unix:/path. Required."`
	Identity   string `name:"identity" env:"IDENTITY" placeholder:"KIND" help:"${identity}"`
	NodeName   string `name:"node-name" env:"NODE_NAME" placeholder:"NAME" help:"The node's name as attached_node_name has it. Not set: the host's."`
	Backend    string `name:"backend" env:"BACKEND" placeholder:"KIND" help:"${backend}"`
	StateDir   string `name:"state-dir" env:"STATE_DIR" default:"/var/lib/multinic" help:"Directory for what must outlive the executor. Made if missing."`
	HTTPListen string `name:"http-listen" env:"HTTP_LISTEN" default:"127.0.0.1:8081" help:"Where /metrics, /healthz, /readyz are served; none: nowhere."`

	Version kong.VersionFlag `name:"version" help:"Print the version and exit."`
}

// NoHTTP is the HTTPListen that says that HTTP is not served.
const NoHTTP = "none"

// Parse reads arguments and the environment. --help and --version print to out and call exit with 0. An error is one line that
// names the setting, its value and what to write instead.
func Parse(args []string, version string, out io.Writer, exit func(int), hostname func() (string, error)) (*Config, error) {
	var config Config
	parser, err := kong.New(&config,
		kong.Name("multinic-executor"),
		kong.Description("Makes this node's multinic interfaces what the dispatcher asks for, proves it by the kernel, and reports. "+
			"Each flag can also be set in the environment."),
		kong.Vars{
			"version":  "multinic-executor " + version,
			"identity": "How this executor proves who it is. insecure: not at all, and in plain text, over loopback or a unix socket only. Required.",
			"backend":  "What keeps the configuration. netlink: a state file of the executor's own, for hosts without a network manager. Required.",
		}, kong.Writers(out, out), kong.Exit(exit))
	if err != nil {
		return nil, fmt.Errorf("the settings' definition: %w", err)
	}
	if _, err := parser.Parse(args); err != nil {
		return nil, fmt.Errorf("%s: see --help", oneLine(err.Error()))
	}
	if config.NodeName == "" {
		if config.NodeName, err = hostname(); err != nil {
			return nil, fmt.Errorf("--node-name (NODE_NAME) is not set and the host's name cannot be read (%w): write the node's name", err)
		}
	}
	if err := config.check(); err != nil {
		return nil, errors.New(oneLine(err.Error()))
	}

	return &config, nil
}

// maxNodeName is the longest name that the dispatcher reads rows for, in bytes.
const maxNodeName = 512

func (c *Config) check() error {
	if err := checkDispatcher(c.Dispatcher); err != nil {
		return err
	}
	switch {
	case c.Identity == "":
		return errors.New("--identity (IDENTITY) is not set: write insecure, the only one that this version has")
	case c.Identity != "insecure":
		return fmt.Errorf("--identity (IDENTITY) is %q: write insecure, the only one that this version has", c.Identity)
	case !nearby(c.Dispatcher):
		return fmt.Errorf("--dispatcher (DISPATCHER) is %q, and --identity=insecure sends plain text: "+
			"write a loopback address, such as 127.0.0.1:8443, or unix:/path", c.Dispatcher)
	case len(c.NodeName) > maxNodeName || !utf8.ValidString(c.NodeName):
		return fmt.Errorf("--node-name (NODE_NAME) is %q: write a name of at most %d bytes of UTF-8", c.NodeName, maxNodeName)
	case c.Backend == "":
		return errors.New("--backend (BACKEND) is not set: write netlink, the only one that this version has")
	case c.Backend != "netlink":
		return fmt.Errorf("--backend (BACKEND) is %q: write netlink, the only one that this version has", c.Backend)
	case c.StateDir == "":
		return errors.New("--state-dir (STATE_DIR) is empty: write a directory, such as /var/lib/multinic")
	}
	if c.HTTPListen != NoHTTP {
		if _, port, err := net.SplitHostPort(c.HTTPListen); err != nil || !isPort(port) {
			return fmt.Errorf("--http-listen (HTTP_LISTEN) is %q: write host:port, such as 127.0.0.1:8081, or none", c.HTTPListen)
		}
	}

	return nil
}

// unixPrefix begins the address of a unix socket, as gRPC has it.
const unixPrefix = "unix:"

func checkDispatcher(address string) error {
	const remedy = "write host:port, such as 127.0.0.1:8443, or unix:/path"
	if address == "" {
		return errors.New("--dispatcher (DISPATCHER) is not set: " + remedy)
	}
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		if !strings.HasPrefix(path, "/") {
			return fmt.Errorf("--dispatcher (DISPATCHER) is %q, which lacks an absolute path: %s", address, remedy)
		}

		return nil
	}
	if host, port, err := net.SplitHostPort(address); err != nil || host == "" || !isPort(port) || port == "0" {
		return fmt.Errorf("--dispatcher (DISPATCHER) is %q: %s", address, remedy)
	}

	return nil
}

func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)

	return err == nil
}

// nearby says whether what is sent to an address stays on this machine.
func nearby(address string) bool {
	if strings.HasPrefix(address, unixPrefix) {
		return true
	}
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)

	return host == "localhost" || err == nil && ip.IsLoopback()
}

// oneLine is a text in one line, whatever was quoted in it.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
