package netplan

import (
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"multinic.dev/executor/internal/netplan/render"
	"multinic.dev/executor/internal/plan"
)

// document is what is looked at of a file of netplan(5).
type document struct {
	Network map[string]yaml.Node `yaml:"network"`
}

// ethernet is what is looked at of the definition of a NIC.
type ethernet struct {
	Match struct {
		MACAddress string `yaml:"macaddress"`
	} `yaml:"match"`
	SetName   string   `yaml:"set-name"`
	DHCP4     bool     `yaml:"dhcp4"`
	DHCP6     bool     `yaml:"dhcp6"`
	Addresses []string `yaml:"addresses"`
	MTU       int      `yaml:"mtu"`
}

// mostForeign is how long a file may be that is taken over, in bytes: the predecessor's are some hundred long.
const mostForeign = 64 << 10

// foreign is what somebody else's file says where a NIC's would be. It is understood if it defines that NIC alone, by its MAC address
// and with its name: so the predecessor wrote it. A file that is not understood is not kept either.
func (h *Host) foreign(number int, info fs.FileInfo) (plan.Config, error) {
	config := plan.Config{NIC: fmt.Sprintf("multinic%d", number)}
	config.Foreign = &plan.File{Mode: uint32(info.Mode().Perm())}
	if info.Size() > mostForeign {
		return config, nil
	}
	data, err := os.ReadFile(h.at(render.YAMLPath(number)))
	if err != nil {
		return config, fmt.Errorf("read what is persisted: %w", err)
	}
	if !utf8.Valid(data) {
		return config, nil // The journal could not keep it as it is.
	}
	config.Foreign.Text = string(data)
	ethernets, alone := ethernetsIn(data)
	for id, definition := range ethernets {
		mac := strings.ToLower(definition.Match.MACAddress)
		isIt := definition.SetName == config.NIC || definition.SetName == "" && id == config.NIC
		// networkd would go on asking for an address by DHCP.
		if alone && len(ethernets) == 1 && isIt && isMAC(mac) && !definition.DHCP4 && !definition.DHCP6 {
			config.MAC = mac
			config.Interfaces = []plan.Interface{{Spec: definition.spec()}}
		}
	}
	return config, nil
}

// ethernetsIn are the NICs that a file of netplan(5) defines, by their ids, and whether it defines nothing else.
func ethernetsIn(data []byte) (ethernets map[string]ethernet, alone bool) {
	var all document
	if err := yaml.Unmarshal(data, &all); err != nil {
		return nil, false
	}
	alone = true
	for key, node := range all.Network {
		switch key {
		case "version", "renderer":
		case "ethernets":
			alone = node.Decode(&ethernets) == nil && alone
		default:
			alone = false
		}
	}
	return ethernets, alone
}

// isMAC says whether a text is six octets in lower case with colons.
func isMAC(text string) bool {
	var octets [6]byte
	n, err := fmt.Sscanf(text, "%02x:%02x:%02x:%02x:%02x:%02x", &octets[0], &octets[1], &octets[2], &octets[3], &octets[4], &octets[5])
	return err == nil && n == len(octets) && len(text) == len("00:00:00:00:00:00")
}

// spec is as much of a definition as a row could have said.
func (e ethernet) spec() plan.Spec {
	spec := plan.Spec{MTU: e.MTU}
	for _, text := range e.Addresses {
		if address, err := netip.ParsePrefix(text); err == nil && address.Addr().Is4() && !spec.Address.IsValid() {
			spec.Address = address
		}
	}
	return spec
}

// filesOfIDs are the host's files of netplan(5) by the ids of the NICs that they define, but for those of multinic.
func (h *Host) filesOfIDs() (map[string]string, error) {
	files := map[string]string{}
	for _, dir := range folders() {
		entries, err := os.ReadDir(h.at(dir))
		if err = ignoreMissing(err); err != nil {
			return nil, err
		}
		for _, entry := range entries {
			path := filepath.Join(dir, entry.Name())
			if filepath.Ext(path) != ".yaml" {
				continue
			}
			data, err := h.readWithin(path)
			if err = ignoreMissing(err); err != nil {
				return nil, err
			}
			ethernets, _ := ethernetsIn(data)
			for id := range ethernets {
				files[id] = "/" + path
			}
		}
	}
	return files, nil
}
