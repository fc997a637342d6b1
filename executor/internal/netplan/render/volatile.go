package render

import (
	"fmt"
	"path"
	"strings"

	"multinic.dev/executor/internal/plan"
)

// VolatilePrefix begins the names of the files that Volatile makes: networkd asks them before all that netplan generates.
const VolatilePrefix = "07-"

// Volatile are the files of networkd's for a NIC by their names, which say by themselves what its files for netplan and their drop-ins
// say together. They are for /run/systemd/network, where a drop-in could not take the place of one in /etc.
func Volatile(config plan.Config) map[string]string {
	files := map[string]string{}
	var vlans []string
	var itself plan.Interface
	for _, one := range config.Interfaces {
		if one.VLAN == 0 {
			itself = one
			continue
		}
		name := plan.NameOf(config.NIC, one.VLAN)
		vlans = append(vlans, name)
		files[VolatilePrefix+name+".netdev"] = notice + fmt.Sprintf("[NetDev]\nName=%s\nKind=vlan\n\n[VLAN]\nId=%d\n", name, one.VLAN)
		files[VolatilePrefix+name+".network"] = network(config.NIC, one, "", nil)
	}
	mac := config.MAC
	if config.ByName {
		mac = ""
	}
	files[VolatilePrefix+config.NIC+".network"] = network(config.NIC, itself, mac, vlans)
	return files
}

// network is the file for one interface, with what the drop-in has beside what netplan generates. Mac is the permanent address of a NIC;
// empty: it goes by its name alone.
func network(nic string, one plan.Interface, mac string, vlans []string) string {
	var b strings.Builder
	b.WriteString(notice)
	b.WriteString("[Match]\n")
	if mac != "" {
		fmt.Fprintf(&b, "PermanentMACAddress=%s\n", mac)
	}
	fmt.Fprintf(&b, "Name=%s\n\n[Link]\nRequiredForOnline=no\n", plan.NameOf(nic, one.VLAN))
	if one.Spec.MTU != 0 {
		fmt.Fprintf(&b, "MTUBytes=%d\n", one.Spec.MTU)
	}
	b.WriteString("\n[Network]\nDHCP=no\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n")
	for _, vlan := range vlans {
		fmt.Fprintf(&b, "VLAN=%s\n", vlan)
	}
	b.WriteString("\n" + dropIn(nic, one))
	return b.String()
}

// firstPrefix begins the names of the files that go before those of somebody else's for all NICs, and after VolatilePrefix.
const firstPrefix = "09-"

// first are the files of networkd's and udev's, by their paths in a NIC's folder, that go before somebody else's for all NICs that are
// alike: what netplan generates is asked in the order of names that others have chosen. They say the same.
func first(config plan.Config) map[string]string {
	files := map[string]string{}
	for name, text := range Volatile(config) {
		if path.Ext(name) == ".network" {
			files["first/"+firstPrefix+strings.TrimPrefix(name, VolatilePrefix)] = text
		}
	}
	if !config.ByName {
		files["first/"+firstPrefix+config.NIC+".link"] = notice + fmt.Sprintf("[Match]\nPermanentMACAddress=%s\n\n[Link]\nName=%s\n", config.MAC, config.NIC)
	}
	return files
}

// IsOurs says whether a file or folder of one of networkd's folders is for one of multinic's interfaces.
func IsOurs(name string) bool {
	for _, prefix := range []string{VolatilePrefix, firstPrefix, Generated("")} {
		rest, is := strings.CutPrefix(strings.TrimSuffix(name, ".d"), prefix)
		if is && plan.IsOurName(strings.TrimSuffix(rest, path.Ext(rest))) {
			return true
		}
	}
	return false
}
