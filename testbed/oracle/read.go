package oracle

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
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
		// Below is the link that this one is on top of, by name if it is in the same namespace.
		Below any `json:"link"`
		Info  struct {
			Kind string `json:"info_kind"`
			// Data has these keys in a VLAN, and others, or these with other types, in other kinds.
			Data map[string]any `json:"info_data"`
		} `json:"linkinfo"`
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

// numericVLAN is 802.1Q, as -N writes it in some versions.
const numericVLAN = "[33024]"

func isOurs(link string) bool { return strings.HasPrefix(link, "multinic") }

// read is the text of all that is multinic's in a node's kernel. MTUs are in it for the rows that ask for one.
func read(ctx context.Context, node Kernel, rows []Row) ([]string, error) {
	links, err := links(ctx, node, rows)
	if err != nil {
		return nil, err
	}
	routes, err := routes(ctx, node)
	if err != nil {
		return nil, err
	}
	rules, err := rules(ctx, node)
	return slices.Concat(links, routes, rules), err
}

func links(ctx context.Context, node Kernel, rows []Row) ([]string, error) {
	out, err := ip(ctx, node, "-d", "address", "show")
	if err != nil {
		return nil, err
	}
	links, err := linksOf(out)
	if err != nil {
		return nil, err
	}
	lines := []string{}
	for _, l := range links {
		lines = append(lines, l.lines(rows)...)
		settings, err := settingsOf(ctx, node, l.Name)
		if err != nil {
			return nil, err
		}
		lines = append(lines, settings...)
	}
	return lines, nil
}

// settingsOf are the settings of a link that rows have a say in, as text.
func settingsOf(ctx context.Context, node Kernel, link string) ([]string, error) {
	// Files that are not there are no error: the link went, or was renamed, since it was read. That is for the caller to
	// judge, who may look again.
	keys := slices.Sorted(maps.Keys(settings()))
	out, err := node.Output(ctx, "sh", append([]string{"-c",
		`cd /proc/sys/net/ipv4/conf; link=$1; shift; for key; do cat "$link/$key" 2>/dev/null || echo gone meanwhile; done`, "sh", link}, keys...)...)
	if err != nil {
		return nil, fmt.Errorf("read the settings of %s: %w", link, err)
	}
	values := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(values) != len(keys) {
		return nil, fmt.Errorf("the settings of %s are %q, not one for each of %q", link, values, keys)
	}
	lines := make([]string, len(keys))
	for i, key := range keys {
		lines[i] = setting(link, key, values[i])
	}
	return lines, nil
}

// linksOf are the links that are multinic's by their names, out of all that `ip -d address show` printed.
func linksOf(out []byte) ([]ipLink, error) {
	var links []ipLink
	if err := json.Unmarshal(out, &links); err != nil {
		return nil, fmt.Errorf("understand what ip printed of links: %w", err)
	}
	return slices.DeleteFunc(links, func(l ipLink) bool { return !isOurs(l.Name) }), nil
}

// lines are a link and its addresses as text. Its MTU is in it for rows that ask for one.
func (l ipLink) lines(rows []Row) []string {
	mac := l.Address
	if l.Permanent != "" {
		mac = l.Permanent
	}
	state := "down"
	if slices.Contains(l.Flags, "UP") {
		state = "up"
	}
	vlan, above := 0, ""
	if l.Info.Kind == "vlan" {
		id, _ := l.Info.Data["id"].(float64)
		vlan = int(id)
		above = fmt.Sprintf("VLAN %d on %v", vlan, l.Below)
		if protocol := fmt.Sprint(l.Info.Data["protocol"]); protocol != "802.1Q" && protocol != numericVLAN {
			above += " by " + protocol
		}
	}
	lines := []string{link(l.Name, mac, state, above)}
	if slices.ContainsFunc(rows, func(r Row) bool { return r.MAC == mac && r.VLAN == vlan && r.MTU != 0 }) {
		lines = append(lines, fmt.Sprintf("mtu %s %d", l.Name, l.MTU))
	}
	for _, address := range l.Addresses {
		if address.Family == "inet6" && address.Scope == linkScope {
			continue // Every link that is up gives itself one.
		}
		line := fmt.Sprintf("address %s %s/%d", l.Name, address.Local, address.Prefix)
		if address.NoPrefixRoute {
			line += " noprefixroute"
		}
		lines = append(lines, line)
	}
	return lines
}

// inOurTables says whether a table is one of multinic's.
func inOurTables(table int) bool {
	return table >= sharedTable && table < firstTable+10*tablesALink
}

func routes(ctx context.Context, node Kernel) ([]string, error) {
	out, err := ip(ctx, node, "-4", "route", "show", "table", "all")
	if err != nil {
		return nil, err
	}
	var routes []ipRoute
	if err := json.Unmarshal(out, &routes); err != nil {
		return nil, fmt.Errorf("understand what ip printed of routes: %w", err)
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

func rules(ctx context.Context, node Kernel) ([]string, error) {
	out, err := ip(ctx, node, "-4", "-d", "rule", "show")
	if err != nil {
		return nil, err
	}
	var rules []ipRule
	if err := json.Unmarshal(out, &rules); err != nil {
		return nil, fmt.Errorf("understand what ip printed of rules: %w", err)
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

// ip runs `ip -j -N` in a node and returns what it prints.
func ip(ctx context.Context, node Kernel, args ...string) ([]byte, error) {
	out, err := node.Output(ctx, "ip", append([]string{"-j", "-N"}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("read the kernel: %w", err)
	}
	return out, nil
}
