package snapshot

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// object is one of those that `ip -j` prints, as it prints it: with -N, tables, protocols and scopes are numbers.
type object map[string]any

// Kernel is that of the node whose state is taken: a namespace, or a machine.
type Kernel interface {
	Name() string
	// Output runs a program on the node as root, and returns what it prints; or an error, if it exits with another code than 0.
	Output(ctx context.Context, name string, args ...string) ([]byte, error)
}

// Take reads the state of a node. What changes while it reads is in the snapshot or not.
func Take(ctx context.Context, n Kernel) (Snapshot, error) {
	var s Snapshot
	for _, part := range []func(context.Context, Kernel) ([]line, error){links, routes, rules, neighbours, settings} {
		lines, err := part(ctx, n)
		if err != nil {
			return Snapshot{}, fmt.Errorf("take a snapshot of %s: %w", n.Name(), err)
		}
		s.lines = append(s.lines, lines...)
	}
	slices.SortFunc(s.lines, func(a, b line) int { return cmp.Compare(a.text, b.text) })
	return s, nil
}

// links are the links and their addresses.
func links(ctx context.Context, n Kernel) ([]line, error) {
	objects, err := ip(ctx, n, "-d", "address", "show")
	if err != nil {
		return nil, err
	}
	var lines []line
	for _, link := range objects {
		name := fmt.Sprint(link["ifname"])
		lines = append(lines, line{links: []string{name}, text: link.link()})
		addresses, _ := link["addr_info"].([]any)
		for _, a := range addresses {
			fields, _ := a.(map[string]any)
			address := object(fields)
			if address["family"] == "inet6" && isOwnLinkLocal(fmt.Sprint(address["local"]), fmt.Sprint(link["address"])) {
				continue
			}
			address["dev"] = name
			text := address.text("address", []string{"dev", "family", "local", "prefixlen"},
				"valid_life_time", "preferred_life_time", "tentative", "optimistic")
			lines = append(lines, line{links: []string{name}, text: text})
		}
	}
	return lines, nil
}

// link is the text of a link.
func (o object) link() string {
	about := object{}
	for _, key := range []string{
		"ifindex", "ifname", "mtu", "txqlen", "link_type", "address", "broadcast", "permaddr", "master", "group",
		"ifalias", "altnames",
	} {
		if value, ok := o[key]; ok {
			about[key] = value
		}
	}
	// In another namespace the link below is but a number.
	if below, ok := o["link"]; ok {
		about["link"] = below
	}
	flags, _ := o["flags"].([]any)
	about["flags"] = slices.DeleteFunc(slices.Clone(flags), func(flag any) bool {
		// These tell of its carrier, not of how it is set up.
		return flag == "LOWER_UP" || flag == "NO-CARRIER" || flag == "M-DOWN" || flag == "RUNNING"
	})
	info, _ := o["linkinfo"].(map[string]any)
	about["kind"] = "none"
	if kind, ok := info["info_kind"]; ok {
		about["kind"] = kind
	}
	// Of the kinds, a VLAN alone has what neither passes nor is a setting of its own.
	if data, ok := info["info_data"].(map[string]any); ok && info["info_kind"] == "vlan" {
		about["vlan"] = data["id"]
		about["vlan_protocol"] = data["protocol"]
	}
	return about.text("link", []string{"ifname", "ifindex", "kind", "address", "mtu", "flags"})
}

// isOwnLinkLocal says whether an address is the one that a link with this MAC gives itself when it comes up, and which
// it has only once it has found that nobody else does (RFC 4291, appendix A).
func isOwnLinkLocal(address, mac string) bool {
	hardware, err := net.ParseMAC(mac)
	if err != nil || len(hardware) != 6 {
		return false
	}
	own := [16]byte{0: 0xfe, 1: 0x80, 11: 0xff, 12: 0xfe}
	copy(own[8:], hardware[:3])
	copy(own[13:], hardware[3:])
	own[8] ^= 2
	return address == netip.AddrFrom16(own).String()
}

func routes(ctx context.Context, n Kernel) ([]line, error) {
	var lines []line
	for _, family := range []string{"-4", "-6"} {
		objects, err := ip(ctx, n, family, "-d", "route", "show", "table", "all")
		if err != nil {
			return nil, err
		}
		for _, route := range objects {
			if family == "-6" && route.comesWithALink() {
				continue
			}
			if route["table"] == nil {
				route["table"] = "254" // Some versions of `ip` leave the main table out.
			}
			// Whether the link has a carrier is no matter of the route.
			flags, _ := route["flags"].([]any)
			route["flags"] = slices.DeleteFunc(flags, func(flag any) bool { return flag == "linkdown" || flag == "dead" })
			lines = append(lines, line{
				links: route.devices("dev"),
				text:  route.text("route "+family, []string{"table", "dst", "gateway", "dev"}, "expires", "cache"),
			})
		}
	}
	return lines, nil
}

// comesWithALink says whether an IPv6 route is one that the kernel makes for each link that is up, or for each of its
// addresses once nobody else has it: these come a while after what they follow from, which is in the snapshot.
func (o object) comesWithALink() bool {
	return o["protocol"] == "2" && (o["table"] == "255" || o["dst"] == "fe80::/64")
}

// devices are the links that are named under any of the keys, and in next hops.
func (o object) devices(keys ...string) []string {
	var names []string
	for _, key := range keys {
		if name, ok := o[key].(string); ok {
			names = append(names, name)
		}
	}
	hops, _ := o["nexthops"].([]any)
	for _, hop := range hops {
		fields, _ := hop.(map[string]any)
		names = append(names, object(fields).devices(keys...)...)
	}
	return names
}

func rules(ctx context.Context, n Kernel) ([]line, error) {
	var lines []line
	for _, family := range []string{"-4", "-6"} {
		objects, err := ip(ctx, n, family, "-d", "rule", "show")
		if err != nil {
			return nil, err
		}
		for _, rule := range objects {
			lines = append(lines, line{
				links: rule.devices("iif", "oif"),
				text:  rule.text("rule "+family, []string{"priority", "src", "table"}),
			})
		}
	}
	return lines, nil
}

// neighbours are those that somebody has set, not those that were learnt.
func neighbours(ctx context.Context, n Kernel) ([]line, error) {
	var lines []line
	for _, family := range []string{"-4", "-6"} {
		for _, kind := range []string{"nud", "proxy"} {
			args := []string{family, "neighbour", "show", kind}
			if kind == "nud" {
				args = append(args, "permanent")
			}
			objects, err := ip(ctx, n, args...)
			if err != nil {
				return nil, err
			}
			for _, neighbour := range objects {
				lines = append(lines, line{
					links: neighbour.devices("dev"),
					text:  neighbour.text("neighbour "+family+" "+kind, []string{"dev", "dst"}),
				})
			}
		}
	}
	return lines, nil
}

// settings are those of each link, of all links and of those to come. What cannot be read is left out: what can only be written, what
// is not set yet, as stable_secret, and what is of a link that has just gone.
func settings(ctx context.Context, n Kernel) ([]line, error) {
	const list = "cd /proc/sys/net && { grep -Hs '' ipv[46]/conf/*/* ipv[46]/neigh/*/* || [ $? -le 2 ]; }"
	out, err := n.Output(ctx, "sh", "-c", list)
	if err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	var lines []line
	for text := range strings.Lines(string(out)) {
		file, value, _ := strings.Cut(strings.TrimSpace(text), ":")
		parts := strings.SplitN(file, "/", 4)
		if len(parts) != 4 {
			return nil, fmt.Errorf("read the settings: %q names none", text)
		}
		lines = append(lines, line{links: []string{parts[2]}, text: fmt.Sprintf("setting net/%s=%s", file, value)})
	}
	return lines, nil
}

// text is all of an object but some keys: what it is, then some keys, then the others in the order of their names.
func (o object) text(what string, first []string, except ...string) string {
	rest := slices.Sorted(maps.Keys(o))
	rest = slices.DeleteFunc(rest, func(key string) bool {
		return slices.Contains(first, key) || slices.Contains(except, key)
	})
	words := []string{what}
	for _, key := range slices.Concat(first, rest) {
		value, ok := o[key]
		if !ok {
			continue
		}
		// In JSON a list is written as it was read, and a map in the order of its keys.
		text, err := json.Marshal(value)
		if err != nil {
			panic(fmt.Sprintf("what was decoded from JSON cannot be encoded: %v", err))
		}
		words = append(words, key, strings.Trim(string(text), `"`))
	}
	return strings.Join(words, " ")
}

// ip runs `ip -j -N` in a node and decodes what it prints.
func ip(ctx context.Context, n Kernel, args ...string) ([]object, error) {
	out, err := n.Output(ctx, "ip", append([]string{"-j", "-N"}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("ask ip for %v: %w", args, err)
	}
	if len(bytes.TrimSpace(out)) == 0 {
		return nil, nil // Some lists are printed so when they are empty.
	}
	var objects []object
	decoder := json.NewDecoder(bytes.NewReader(out))
	decoder.UseNumber() // A large number is not to become 1.835925504e+09.
	if err := decoder.Decode(&objects); err != nil {
		return nil, fmt.Errorf("understand what ip says of %v: %w", args, err)
	}
	return objects, nil
}
