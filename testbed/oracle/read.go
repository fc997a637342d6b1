package oracle

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"multinic.dev/testbed/node"
)

// What `ip -j` prints, as far as it is looked at. With -N it writes tables, protocols and scopes as numbers.
type (
	ipLink struct {
		Name      string      `json:"ifname"`
		Address   string      `json:"address"`
		Permanent string      `json:"permaddr"`
		MTU       int         `json:"mtu"`
		Flags     []string    `json:"flags"`
		Addresses []ipAddress `json:"addr_info"`
	}
	ipAddress struct {
		Family        string `json:"family"`
		Local         string `json:"local"`
		Prefix        int    `json:"prefixlen"`
		Scope         string `json:"scope"`
		NoPrefixRoute bool   `json:"noprefixroute"`
	}
	ipRoute struct {
		To       string `json:"dst"`
		Via      string `json:"gateway"`
		Link     string `json:"dev"`
		Table    string `json:"table"`
		Protocol string `json:"protocol"`
		Source   string `json:"prefsrc"`
		Metric   int    `json:"metric"`
	}
	ipRule struct {
		Pref     int    `json:"priority"`
		From     string `json:"src"`
		FromLen  int    `json:"srclen"`
		Table    string `json:"table"`
		Suppress *int   `json:"suppress_prefixlen"`
		Protocol string `json:"protocol"`
	}
)

// linkScope is RT_SCOPE_LINK, as -N writes it.
const linkScope = "253"

func isOurs(link string) bool { return strings.HasPrefix(link, "multinic") }

// read is the text of all that is multinic's in a node's kernel. MTUs are in it for the rows that ask for one.
func read(ctx context.Context, n *node.Node, rows []Row) ([]string, error) {
	links, err := links(ctx, n, rows)
	if err != nil {
		return nil, err
	}
	routes, err := routes(ctx, n)
	if err != nil {
		return nil, err
	}
	rules, err := rules(ctx, n)
	return slices.Concat(links, routes, rules), err
}

func links(ctx context.Context, n *node.Node, rows []Row) ([]string, error) {
	var links []ipLink
	if err := ip(ctx, n, &links, "-d", "address", "show"); err != nil {
		return nil, err
	}
	var lines []string
	for _, link := range links {
		if !isOurs(link.Name) {
			continue
		}
		mac := link.Address
		if link.Permanent != "" {
			mac = link.Permanent
		}
		state := "down"
		if slices.Contains(link.Flags, "UP") {
			state = "up"
		}
		lines = append(lines, fmt.Sprintf("link %s %s %s", link.Name, mac, state))
		if slices.ContainsFunc(rows, func(r Row) bool { return r.MAC == mac && r.MTU != 0 }) {
			lines = append(lines, fmt.Sprintf("mtu %s %d", link.Name, link.MTU))
		}
		for _, address := range link.Addresses {
			if address.Family == "inet6" && address.Scope == linkScope {
				continue // Every link that is up gives itself one.
			}
			line := fmt.Sprintf("address %s %s/%d", link.Name, address.Local, address.Prefix)
			if address.NoPrefixRoute {
				line += " noprefixroute"
			}
			lines = append(lines, line)
		}
		for key := range settings() {
			var value []byte
			err := n.Do(func() (err error) {
				value, err = os.ReadFile("/proc/sys/net/ipv4/conf/" + link.Name + "/" + key)
				return err
			})
			if err != nil {
				return nil, fmt.Errorf("read a setting of %s: %w", link.Name, err)
			}
			lines = append(lines, setting(link.Name, key, strings.TrimSpace(string(value))))
		}
	}
	return lines, nil
}

// inOurTables says whether a table is one of multinic's.
func inOurTables(table int) bool {
	return table >= sharedTable && table < firstTable+10*tablesALink
}

func routes(ctx context.Context, n *node.Node) ([]string, error) {
	var routes []ipRoute
	if err := ip(ctx, n, &routes, "-4", "route", "show", "table", "all"); err != nil {
		return nil, err
	}
	var lines []string
	for _, r := range routes {
		table := mainTable // `ip` leaves the main table out.
		if r.Table != "" {
			var err error
			if table, err = strconv.Atoi(r.Table); err != nil {
				return nil, fmt.Errorf("the table of a route: %w", err)
			}
		}
		if table == 255 && r.Protocol == "2" {
			continue // The kernel's own, of each address.
		}
		if !isOurs(r.Link) && !inOurTables(table) && r.Protocol != ourProtocol {
			continue
		}
		line := fmt.Sprintf("route %s table %d to %s", r.Link, table, r.To)
		if r.Via != "" {
			line += " via " + r.Via
		}
		lines = append(lines, fmt.Sprintf("%s from %s metric %d protocol %s", line, r.Source, r.Metric, r.Protocol))
	}
	return lines, nil
}

func rules(ctx context.Context, n *node.Node) ([]string, error) {
	var rules []ipRule
	if err := ip(ctx, n, &rules, "-4", "-d", "rule", "show"); err != nil {
		return nil, err
	}
	ourPrefs := []int{prefOwnSubnets, prefMain, prefOwn, prefMainUnbound, prefShared}
	var lines []string
	for _, r := range rules {
		table, err := strconv.Atoi(r.Table)
		if err != nil {
			return nil, fmt.Errorf("the table of a rule: %w", err)
		}
		if !slices.Contains(ourPrefs, r.Pref) && !inOurTables(table) && r.Protocol != ourProtocol {
			continue
		}
		from := r.From
		if r.FromLen != 0 {
			from += "/" + strconv.Itoa(r.FromLen)
		}
		line := fmt.Sprintf("rule %d from %s table %d", r.Pref, from, table)
		if r.Suppress != nil && *r.Suppress == 0 {
			line += " without default"
		}
		lines = append(lines, line+" protocol "+r.Protocol)
	}
	return lines, nil
}

// ip runs `ip -j -N` in a node and decodes what it prints.
func ip(ctx context.Context, n *node.Node, into any, args ...string) error {
	cmd := n.Command(ctx, "ip", append([]string{"-j", "-N"}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("read the kernel of %s with %v: %w", n.Name(), cmd.Args, err)
	}
	if err := json.Unmarshal(out, into); err != nil {
		return fmt.Errorf("understand what %v printed: %w", cmd.Args, err)
	}
	return nil
}
