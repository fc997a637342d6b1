// Package render writes what a host that runs Netplan must have on its disk for multinic's NICs.
package render

import (
	"fmt"
	"maps"
	"net/netip"
	"path"
	"strconv"
	"strings"

	"multinic.dev/executor/internal/plan"
)

// notice begins each file.
const notice = "# Written by multinic: what is changed here is changed back. To change it, change the NIC's row.\n"

// The names in a NIC's folder; see Files.
const (
	YAMLName   = "netplan.yaml"
	sysctlName = "sysctl.conf"
	dropInName = "multinic.conf"
)

// Files are the files of a NIC by their paths in a folder of its own: its YAML for netplan(5), the drop-ins of systemd.network(5)
// with what YAML cannot say, in a folder for each interface that has an address, and the settings for sysctl.d(5).
func Files(config plan.Config) map[string]string {
	files := map[string]string{YAMLName: yaml(config), sysctlName: settings(config)}
	for _, one := range config.Interfaces {
		if text := dropIn(config.NIC, one); text != "" {
			files[path.Join(dropInFolder(one.VLAN), dropInName)] = text
		}
	}
	if config.First {
		maps.Copy(files, first(config))
	}
	return files
}

// Links are the paths under which netplan, networkd and systemd-sysctl look for what is in the folder, below the root of the
// host, each with what it is in the folder.
func Links(config plan.Config) map[string]string {
	number, _ := plan.Number(config.NIC)
	links := map[string]string{
		YAMLPath(number): YAMLName,
		fmt.Sprintf("etc/sysctl.d/9%d-%s.conf", number, config.NIC): sysctlName,
	}
	for _, one := range config.Interfaces {
		if one.Spec.Address.IsValid() {
			links["etc/systemd/network/"+Generated(plan.NameOf(config.NIC, one.VLAN))+".network.d"] = dropInFolder(one.VLAN)
		}
	}
	if config.First {
		for inside := range first(config) {
			links["etc/systemd/network/"+path.Base(inside)] = inside
		}
	}
	return links
}

// YAMLPath is where netplan looks for the NIC multinicN, below the root of the host.
func YAMLPath(number int) string {
	return fmt.Sprintf("etc/netplan/9%d-multinic%d.yaml", number, number)
}

// Generated begins the names of the files that netplan generates for an interface; it ends them with .link, .netdev or .network.
func Generated(name string) string { return "10-netplan-" + name }

// dropInFolder is where the drop-in of an interface is.
func dropInFolder(vlan int) string {
	if vlan == 0 {
		return "network.d"
	}
	return strconv.Itoa(vlan) + ".network.d"
}

// yaml is the NIC's file for netplan. All that varies in it are numbers, addresses, and the MAC address in quotes: nothing that
// a row says can be more than that.
func yaml(config plan.Config) string {
	var b strings.Builder
	b.WriteString(notice)
	b.WriteString("network:\n  version: 2\n  ethernets:\n")
	fmt.Fprintf(&b, "    %s:\n", config.NIC)
	if config.ByName {
		fmt.Fprintf(&b, "      match:\n        name: %s\n", config.NIC)
	} else {
		fmt.Fprintf(&b, "      match:\n        macaddress: %q\n      set-name: %s\n", config.MAC, config.NIC)
	}
	var itself plan.Spec
	var vlans []plan.Interface
	for _, one := range config.Interfaces {
		if one.VLAN == 0 {
			itself = one.Spec
		} else {
			vlans = append(vlans, one)
		}
	}
	definition(&b, itself)
	if len(vlans) > 0 {
		b.WriteString("  vlans:\n")
	}
	for _, one := range vlans {
		fmt.Fprintf(&b, "    %s:\n      id: %d\n      link: %s\n", plan.NameOf(config.NIC, one.VLAN), one.VLAN, config.NIC)
		definition(&b, one.Spec)
	}
	return b.String()
}

// definition is what each interface has. Whatever else runs on the host, networkd has it: nothing but its drop-ins can say what
// YAML cannot. It must not hold up the boot, and gets no address but its own.
func definition(b *strings.Builder, spec plan.Spec) {
	b.WriteString("      renderer: networkd\n      optional: true\n      dhcp4: false\n      dhcp6: false\n      accept-ra: false\n      link-local: []\n")
	if spec.MTU != 0 {
		fmt.Fprintf(b, "      mtu: %d\n", spec.MTU)
	}
	if spec.Address.IsValid() {
		fmt.Fprintf(b, "      addresses:\n        - %q\n", spec.Address.String())
	}
}

// dropIn is what YAML cannot say of an interface: that its address makes no route in `main`, and routes and rules as they are in
// the kernel. Without an address there is nothing to say. A NIC without a carrier has its address all the same, as it has when
// the executor gives it. Networkd need not listen for LLDP there: whenever it sets a NIC up anew it would close one raw socket and open
// another, and for each it would wait, some ten milliseconds or more, until every processor has let go of it; for one NIC after the other.
func dropIn(nic string, one plan.Interface) string {
	laid := plan.LayOut(nic, one.VLAN, one.Spec)
	if !laid.Address.Prefix.IsValid() {
		return ""
	}
	var b strings.Builder
	b.WriteString(notice)
	b.WriteString("[Network]\nConfigureWithoutCarrier=yes\nLLDP=no\n")
	fmt.Fprintf(&b, "\n[Address]\nAddress=%s\nAddPrefixRoute=no\n", laid.Address.Prefix)
	for _, route := range laid.Routes {
		b.WriteString("\n[Route]\n")
		if route.Via.IsValid() {
			fmt.Fprintf(&b, "Gateway=%s\nGatewayOnLink=yes\n", route.Via)
		}
		if route.To.Bits() > 0 {
			fmt.Fprintf(&b, "Destination=%s\n", route.To)
		}
		if !route.Via.IsValid() {
			b.WriteString("Scope=link\n")
		}
		fmt.Fprintf(&b, "PreferredSource=%s\nTable=%d\n", route.Source, route.Table)
		if route.Metric != 0 {
			fmt.Fprintf(&b, "Metric=%d\n", route.Metric)
		}
		fmt.Fprintf(&b, "Protocol=%d\n", route.Protocol)
	}
	for _, rule := range laid.Rules {
		b.WriteString("\n[RoutingPolicyRule]\n")
		b.WriteString(from(rule.From))
		fmt.Fprintf(&b, "Table=%d\nPriority=%d\n", rule.Table, rule.Preference)
		if rule.WithoutDefault {
			b.WriteString("SuppressPrefixLength=0\n")
		}
	}
	return b.String()
}

// from is the source of a rule; one without must say of which family it is.
func from(source netip.Prefix) string {
	if !source.IsValid() {
		return "Family=ipv4\n"
	}
	return "From=" + source.Addr().String() + "\n"
}

// settings are those of the interfaces. udev has them set when an interface appears, and the minus has nobody complain before.
func settings(config plan.Config) string {
	var b strings.Builder
	b.WriteString(notice)
	names := []string{config.NIC}
	for _, one := range config.Interfaces {
		if one.VLAN != 0 {
			names = append(names, plan.NameOf(config.NIC, one.VLAN))
		}
	}
	for _, name := range names {
		for _, setting := range plan.Settings() {
			fmt.Fprintf(&b, "-net/%s = %s\n", fmt.Sprintf(setting.Path, name), setting.Value)
		}
	}
	return b.String()
}
