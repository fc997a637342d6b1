package networkd

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"multinic.dev/executor/internal/netplan/render"
)

// states is where networkd says what it makes of each link, in a file named by the link's index, below the host's root; see
// sd_link_get_setup_state in sd-network.h.
const states = "run/systemd/netif/links"

// leases is where networkd keeps what it was given by DHCP, in a file named by the link's index, for as long as it has it.
const leases = "run/systemd/netif/leases"

// Leases are the IPv4 addresses that networkd was given by DHCP, by the index of their link. The kernel tells those alone that end.
func (m *Manager) Leases() map[int]netip.Addr {
	entries, _ := os.ReadDir(m.at(leases)) // Where there is none, nothing was given.
	all := map[int]netip.Addr{}
	for _, entry := range entries {
		data, err := os.ReadFile(m.at(filepath.Join(leases, entry.Name())))
		if err != nil {
			continue // It is gone meanwhile.
		}
		link, err := strconv.Atoi(entry.Name())
		address, unparsed := netip.ParseAddr(render.Settings(string(data), "")["ADDRESS"])
		if err == nil && unparsed == nil {
			all[link] = address
		}
	}

	return all
}

// Has says whether networkd has the link with an index as its own, or may be about to, and whether it has done with it, as it says itself.
// Nobody is asked, so nobody can hang: it is read from the file by which its own tools know it (networkctl(1)), and which networkd writes a
// moment after it has begun or ended something. One that is not understood says that networkd does not have the link. Of a link of which it
// has said nothing yet it may still think; where it does not run any more, that goes on for ever.
func (m *Manager) Has(link int) (has, done bool) {
	data, err := os.ReadFile(m.at(filepath.Join(states, strconv.Itoa(link))))
	if err != nil {
		_, err := os.Stat(m.at(states))

		return err == nil, false
	}
	switch render.Settings(string(data), "")["ADMIN_STATE"] {
	case "pending", "initialized", "configuring":
		return true, false
	case "configured":
		return true, true
	}

	return false, true
}
