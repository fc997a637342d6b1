package guard

import (
	"bufio"
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"
)

// resolveWithin is how long it may take to find out a dispatcher's address: without it, its way is not looked at.
const resolveWithin = time.Second

// Around finds the dispatcher, an API server and the resolvers of a resolv.conf(5). Dispatcher is host:port or unix:/path; apiServer
// is an address, or empty.
func Around(dispatcher, apiServer, resolvConf string) func(ctx context.Context) []Target {
	return func(ctx context.Context) []Target {
		var targets []Target
		for _, address := range addressesOf(ctx, dispatcher) {
			targets = append(targets, Target{"the dispatcher", address})
		}
		if address, err := netip.ParseAddr(apiServer); err == nil {
			targets = append(targets, Target{"the API server", address})
		}
		for _, address := range resolversIn(resolvConf) {
			targets = append(targets, Target{"a resolver", address})
		}

		return targets
	}
}

// addressesOf are the addresses of a dispatcher; none where there is no network between, or its name cannot be resolved.
func addressesOf(ctx context.Context, dispatcher string) []netip.Addr {
	host, _, err := net.SplitHostPort(dispatcher)
	if err != nil || strings.HasPrefix(dispatcher, "unix:") {
		return nil
	}
	if address, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{address}
	}
	ctx, cancel := context.WithTimeout(ctx, resolveWithin)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	for i := range addresses {
		addresses[i] = addresses[i].Unmap()
	}

	return addresses
}

// resolversIn are the name servers of a resolv.conf(5); none where there is no such file.
func resolversIn(path string) []netip.Addr {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }() // Nothing was written.
	var found []netip.Addr
	for lines := bufio.NewScanner(file); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if address, err := netip.ParseAddr(words[1]); err == nil {
			found = append(found, address)
		}
	}

	return found
}
