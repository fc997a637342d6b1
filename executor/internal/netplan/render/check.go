package render

import (
	"fmt"
	"slices"
	"strings"

	"multinic.dev/executor/internal/plan"
)

// Check says what netplan has generated for a NIC that is not what its configuration asks for; files are those in
// /run/systemd/network by their names. Definitions of one NIC in several files add up, so it may be somebody else's.
func Check(config plan.Config, files map[string]string) error {
	var itself plan.Spec
	var vlans []string
	for _, one := range config.Interfaces {
		if one.VLAN == 0 {
			itself = one.Spec
		} else {
			vlans = append(vlans, plan.NameOf(config.NIC, one.VLAN))
		}
	}
	if !config.ByName {
		link := parse(files[Generated(config.NIC)+".link"])
		if got := link.all("Match", "PermanentMACAddress"); !slices.Equal(got, []string{config.MAC}) {
			return fmt.Errorf("netplan would look for %s by the MAC addresses %q instead of %s%s", config.NIC, got, config.MAC, elsewhere)
		}
		if got := link.all("Link", "Name"); !slices.Equal(got, []string{config.NIC}) {
			return fmt.Errorf("netplan would name %s %q%s", config.NIC, got, elsewhere)
		}
	}
	if err := checkNetwork(config.NIC, itself, vlans, files); err != nil {
		return err
	}
	for _, one := range config.Interfaces {
		if one.VLAN == 0 {
			continue
		}
		name := plan.NameOf(config.NIC, one.VLAN)
		netdev := parse(files[Generated(name)+".netdev"])
		if got := netdev.all("VLAN", "Id"); !slices.Equal(got, []string{fmt.Sprint(one.VLAN)}) {
			return fmt.Errorf("netplan would make %s with the VLAN ids %q%s", name, got, elsewhere)
		}
		if err := checkNetwork(name, one.Spec, nil, files); err != nil {
			return err
		}
	}
	return nil
}

// elsewhere ends each message.
const elsewhere = ": another file in /etc/netplan speaks of it as well; take that out"

// checkNetwork checks an interface's .network file.
func checkNetwork(name string, spec plan.Spec, vlans []string, files map[string]string) error {
	text, there := files[Generated(name)+".network"]
	if !there {
		return fmt.Errorf("netplan has generated nothing for %s, though it did not complain", name)
	}
	network := parse(text)
	var addresses []string
	if spec.Address.IsValid() {
		addresses = []string{spec.Address.String()}
	}
	if got := network.all("Network", "Address"); !slices.Equal(got, addresses) {
		return fmt.Errorf("netplan would give %s the addresses %q instead of %q%s", name, got, addresses, elsewhere)
	}
	got := network.all("Network", "VLAN")
	slices.Sort(got)
	slices.Sort(vlans)
	if !slices.Equal(got, vlans) {
		return fmt.Errorf("netplan would put the VLANs %q on %s instead of %q%s", got, name, vlans, elsewhere)
	}
	var mtu []string
	if spec.MTU != 0 {
		mtu = []string{fmt.Sprint(spec.MTU)}
	}
	if got := network.all("Link", "MTUBytes"); !slices.Equal(got, mtu) {
		return fmt.Errorf("netplan would give %s the MTUs %q instead of %q%s", name, got, mtu, elsewhere)
	}
	for _, entry := range network {
		if !isExpected(entry) {
			return fmt.Errorf("netplan would give %s the setting %s=%s in [%s], which nobody asked for%s",
				name, entry.key, entry.value, entry.section, elsewhere)
		}
	}
	return nil
}

// isExpected says whether a setting of a .network file is one that follows from what is rendered.
func isExpected(e entry) bool {
	switch e.section + " " + e.key {
	case "Match PermanentMACAddress", "Match Name", "Match Type", "Link RequiredForOnline", "Link MTUBytes", "Network Address", "Network VLAN":
		return true
	case "Network LinkLocalAddressing", "Network IPv6AcceptRA":
		return e.value == "no"
	case "Network ConfigureWithoutCarrier", "Network IPv6MTUBytes":
		return true
	}
	return false
}

// entry is one setting of a file of networkd's.
type entry struct{ section, key, value string }

// unit is such a file.
type unit []entry

// parse reads a file as systemd.syntax(7) has it, as far as netplan uses that.
func parse(text string) unit {
	var u unit
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		key, value, isEntry := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		case isEntry:
			u = append(u, entry{section, strings.TrimSpace(key), strings.TrimSpace(value)})
		}
	}
	return u
}

// all are the values of a setting.
func (u unit) all(section, key string) []string {
	var values []string
	for _, entry := range u {
		if entry.section == section && entry.key == key {
			values = append(values, entry.value)
		}
	}
	return values
}

// Settings are those of a section of a file as systemd.syntax(7) has it; of one that stands there twice, the last.
func Settings(text, section string) map[string]string {
	settings := map[string]string{}
	for _, entry := range parse(text) {
		if entry.section == section {
			settings[entry.key] = entry.value
		}
	}
	return settings
}
