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
	"time"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// Config is the settings, each checked.
type Config struct {
	Dispatcher string `name:"dispatcher" env:"DISPATCHER" placeholder:"ADDRESS" help:"Where the dispatcher serves gRPC: host:port or unix:/path. Required."`
	Identity   string `name:"identity" env:"IDENTITY" placeholder:"KIND" help:"${identity}"`
	TLSCA      string `name:"tls-ca" env:"TLS_CA" placeholder:"FILE" help:"CAs of the dispatcher's certificate, in PEM, for kubernetes and mtls."`
	TLSCert    string `name:"tls-cert" env:"TLS_CERT" placeholder:"FILE" help:"This executor's certificate, in PEM, for mtls."`
	TLSKey     string `name:"tls-key" env:"TLS_KEY" placeholder:"FILE" help:"Its key, in PEM, for mtls."`
	TokenFile  string `name:"token-file" env:"TOKEN_FILE" placeholder:"FILE" help:"This pod's token for the dispatcher, for kubernetes. Read for each session."`
	NodeName   string `name:"node-name" env:"NODE_NAME" placeholder:"NAME" help:"The node's name as attached_node_name has it. Not set: the host's."`
	Backend    string `name:"backend" env:"BACKEND" default:"auto" help:"${backend}"`
	HostRoot   string `name:"host-root" env:"HOST_ROOT" default:"/" help:"Where the host's root directory is."`
	StateDir   string `name:"state-dir" env:"STATE_DIR" default:"/var/lib/multinic" help:"Directory for what must outlive the executor. Made if missing."`
	HTTPListen string `name:"http-listen" env:"HTTP_LISTEN" default:"127.0.0.1:8081" help:"Where /metrics, /healthz, /readyz are served; none: nowhere."`

	Mode   string `name:"mode" env:"MODE" default:"apply" help:"apply: make the node what is asked for. observe: only say what would be done."`
	NodeIP string `name:"node-ip" env:"NODE_IP" placeholder:"ADDRESS" help:"${nodeip}"`

	TakeDHCP bool `name:"take-dhcp" env:"TAKE_DHCP" help:"${takedhcp}"`

	Activation string `name:"activation" env:"ACTIVATION" default:"auto" help:"${activation}"`

	ConfirmTimeout time.Duration `name:"confirm-timeout" env:"CONFIRM_TIMEOUT" default:"5s" help:"${confirm}"`

	Version kong.VersionFlag `name:"version" help:"Print the version and exit."`

	// Command is what to do: Run, Status or Cleanup.
	Command string `kong:"-"`
}

// The commands.
const (
	Run     = "run"
	Status  = "status"
	Cleanup = "cleanup"
)

// The backends. Auto is the one that the host has.
const (
	Auto    = "auto"
	Netplan = "netplan"
	Netlink = "netlink"
)

// The activations, but for Auto: by what changes are made live.
const (
	Manager = "manager"
	Kernel  = "kernel"
)

// The modes.
const (
	Apply   = "apply"
	Observe = "observe"
)

// grammar is what the command line may say.
type grammar struct {
	Config

	Run     struct{} `cmd:"" default:"1" help:"Make this node what the dispatcher asks for. This is what is done without a command."`
	Status  struct{} `cmd:"" help:"Print what this node's multinic interfaces are, with all of their routes and rules."`
	Cleanup struct{} `cmd:"" help:"Give all multinic interfaces back, as they were before. The executor must not be running."`
}

// NoHTTP is the HTTPListen that says that HTTP is not served.
const NoHTTP = "none"

// Parse reads arguments and the environment. --help and --version print to out and call exit with 0. An error is one line that
// names the setting, its value and what to write instead.
func Parse(args []string, version string, out io.Writer, exit func(int), hostname func() (string, error)) (*Config, error) {
	var words grammar
	parser, err := kong.New(&words,
		kong.Name("multinic-executor"),
		kong.Description("Makes this node's multinic interfaces what the dispatcher asks for, proves it by the kernel, and reports. "+
			"Each flag can also be set in the environment."),
		kong.Vars{
			"version": "multinic-executor " + version,
			"activation": "What makes changes live. manager: the host's network manager, and nothing else. kernel: the executor itself, over netlink. " +
				"auto: the manager where it can be told without any chance that it touches what is not multinic's, and else the executor itself.",
			"takedhcp": "Also take NICs that have nothing but what the host's DHCP for all of their kind has given them, such as a cloud image's en*.",
			"confirm":  "How long the dispatcher may take to be reached anew after a change.",
			"nodeip":   "The node's own address, which is guarded above all. Not set: those of its default route's links.",
			"identity": "How this executor proves who it is. kubernetes: by its pod's token. mtls: by a certificate. insecure: not at all, " +
				"and in plain text, over loopback or a unix socket only. Required.",
			"backend": "What keeps the configuration. netplan: the host's Netplan. netlink: a state file of the executor's own, for hosts without a " +
				"network manager; all is made anew when the executor starts. auto: Netplan, and nothing else.",
		}, kong.Writers(out, out), kong.Exit(exit))
	if err != nil {
		return nil, fmt.Errorf("the settings' definition: %w", err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return nil, fmt.Errorf("%s: see --help", oneLine(err.Error()))
	}
	config := words.Config
	config.Command = parsed.Command()
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

// NodeAddresses are the node's own addresses, as far as they are set.
func (c *Config) NodeAddresses() []netip.Addr {
	address, err := netip.ParseAddr(c.NodeIP)
	if err != nil {
		return nil
	}

	return []netip.Addr{address}
}

// maxNodeName is the longest name that the dispatcher reads rows for, in bytes.
const maxNodeName = 512

func (c *Config) check() error {
	if c.StateDir == "" {
		return errors.New("--state-dir (STATE_DIR) is empty: write a directory, such as /var/lib/multinic")
	}
	if c.Backend != Auto && c.Backend != Netplan && c.Backend != Netlink {
		return fmt.Errorf("--backend (BACKEND) is %q: write auto, netplan or netlink", c.Backend)
	}
	if !strings.HasPrefix(c.HostRoot, "/") {
		return fmt.Errorf("--host-root (HOST_ROOT) is %q: write an absolute path, such as / or /host", c.HostRoot)
	}
	if c.Command != Run {
		return nil // The others need no more.
	}
	if err := checkDispatcher(c.Dispatcher); err != nil {
		return err
	}
	if err := c.checkOwn(); err != nil {
		return err
	}
	if err := c.checkIdentity(); err != nil {
		return err
	}
	if len(c.NodeName) > maxNodeName || !utf8.ValidString(c.NodeName) {
		return fmt.Errorf("--node-name (NODE_NAME) is %q: write a name of at most %d bytes of UTF-8", c.NodeName, maxNodeName)
	}
	if c.HTTPListen != NoHTTP {
		if _, port, err := net.SplitHostPort(c.HTTPListen); err != nil || !isPort(port) {
			return fmt.Errorf("--http-listen (HTTP_LISTEN) is %q: write host:port, such as 127.0.0.1:8081, or none", c.HTTPListen)
		}
	}

	return nil
}

// checkOwn checks how the executor is to work on its node.
func (c *Config) checkOwn() error {
	switch address, err := netip.ParseAddr(c.NodeIP); {
	case c.Mode != Apply && c.Mode != Observe:
		return fmt.Errorf("--mode (MODE) is %q: write apply or observe", c.Mode)
	case c.Activation != Auto && c.Activation != Manager && c.Activation != Kernel:
		return fmt.Errorf("--activation (ACTIVATION) is %q: write auto, manager or kernel", c.Activation)
	case c.Activation == Manager && c.Backend == Netlink:
		return errors.New("--activation (ACTIVATION) is manager, and --backend (BACKEND) netlink is for hosts without one: write kernel or auto")
	case c.TakeDHCP && c.Backend == Netlink:
		return errors.New("--take-dhcp (TAKE_DHCP) takes NICs from the host's network manager, and --backend (BACKEND) netlink is for hosts without one: " +
			"leave it out")
	case c.TakeDHCP && c.Activation == Kernel:
		return errors.New("--take-dhcp (TAKE_DHCP) needs the host's network manager to be told, and --activation (ACTIVATION) is kernel: write auto or manager")
	case c.NodeIP != "" && (err != nil || address.IsUnspecified() || address.IsLoopback()):
		return fmt.Errorf("--node-ip (NODE_IP) is %q: write the node's own address, such as 192.0.2.10, or nothing", c.NodeIP)
	case c.ConfirmTimeout <= 0 || c.ConfirmTimeout > time.Minute:
		return fmt.Errorf("--confirm-timeout (CONFIRM_TIMEOUT) is %q: write a time of up to one minute, such as 5s", c.ConfirmTimeout)
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
