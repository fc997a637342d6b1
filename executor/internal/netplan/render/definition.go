package render

import (
	"path"
	"slices"
	"strings"

	"multinic.dev/executor/internal/plan"
)

// Definitions are what a file of networkd's or udev's, named as it is, says of NICs: one for each MAC address, or one for all that it
// matches otherwise. None: it is no such file, or for no NIC. Where it asks for what cannot be seen here, such as a driver, it is taken
// to be for all.
func Definitions(name, text string) []plan.Definition {
	u := parse(text)
	extension := path.Ext(name)
	if extension == ".nmconnection" {
		return connection(u)
	}
	isForOthers := slices.ContainsFunc(u, func(e entry) bool {
		return e.section == "Match" && !strings.HasPrefix(e.value, "!") &&
			(e.key == "Kind" || e.key == "Type" && !strings.Contains(e.value, "ether"))
	})
	if extension != ".network" && extension != ".link" || isForOthers {
		return nil
	}
	definition := plan.Definition{First: name < Generated("multinic:")} // The colon comes after the digits.
	for _, dhcp := range u.all("Network", "DHCP") {
		definition.DHCP = slices.Contains([]string{"yes", "true", "1", "on", "ipv4", "ipv6", "both"}, strings.ToLower(dhcp))
	}
	macs := append(u.all("Match", "MACAddress"), u.all("Match", "PermanentMACAddress")...)
	if len(macs) > 0 {
		var all []plan.Definition
		for mac := range strings.FieldsSeq(strings.Join(macs, " ")) {
			one := definition
			one.MAC = strings.ToLower(strings.ReplaceAll(mac, "-", ":"))
			all = append(all, one)
		}
		return all
	}
	for _, names := range append(u.all("Match", "Name"), u.all("Match", "OriginalName")...) {
		definition.Names = append(definition.Names, strings.Fields(names)...)
	}
	if len(definition.Names) == 0 {
		definition.Names = []string{"*"}
	}
	return []plan.Definition{definition}
}

// connection is what a connection of NetworkManager's says; see nm-settings(5). NetworkManager does not ask networkd whose a NIC is.
func connection(u unit) []plan.Definition {
	var definition plan.Definition
	for _, mac := range append(u.all("ethernet", "mac-address"), u.all("802-3-ethernet", "mac-address")...) {
		definition.MAC = strings.ToLower(mac)
	}
	definition.Names = u.all("connection", "interface-name")
	for _, names := range u.all("match", "interface-name") {
		definition.Names = append(definition.Names, strings.FieldsFunc(names, func(r rune) bool { return r == ';' })...)
	}
	if definition.MAC == "" && len(definition.Names) == 0 {
		definition.Names = []string{"*"}
	}
	definition.DHCP = slices.Contains(u.all("ipv4", "method"), "auto")
	definition.First = true
	return []plan.Definition{definition}
}
