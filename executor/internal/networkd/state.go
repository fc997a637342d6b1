package networkd

import (
	"os"
	"path/filepath"
	"strconv"

	"multinic.dev/executor/internal/netplan/render"
)

// states is where networkd says what it makes of each link, in a file named by the link's index, below the host's root; see
// sd_link_get_setup_state in sd-network.h.
const states = "run/systemd/netif/links"

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
