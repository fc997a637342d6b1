package link

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"multinic.dev/executor/internal/plan"
)

const (
	procNet    = "/proc/sys/net/"
	ipv4Folder = "ipv4/conf/"
	ipv6Folder = "ipv6/conf/"
)

// settingFolders are the folders below /proc/sys/net that have a folder for each link.
func settingFolders() []string { return []string{ipv4Folder, ipv6Folder} }

// inFolder finds the open folder that a path lies in, and the path in it.
func (k *Kernel) inFolder(path string) (root *os.Root, rest string) {
	for _, folder := range settingFolders() {
		if rest, ok := strings.CutPrefix(path, folder); ok {
			return k.settings[folder], rest
		}
	}
	return nil, ""
}

// Settings reads those of plan.Settings() that a link has, by their paths with %s for its name.
func (k *Kernel) Settings(name string) (map[string]string, error) {
	settings := map[string]string{}
	for _, setting := range plan.Settings() {
		path := fmt.Sprintf(setting.Path, name)
		root, rest := k.inFolder(path)
		if root == nil {
			continue
		}
		value, err := root.ReadFile(rest)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("read the setting %s: %w", procNet+path, err)
		default:
			settings[setting.Path] = strings.TrimSpace(string(value))
		}
	}
	return settings, nil
}

// set writes a setting.
func (k *Kernel) set(c plan.Set) error {
	root, rest := k.inFolder(c.Path)
	if root == nil {
		if strings.HasPrefix(c.Path, ipv6Folder) {
			return nil
		}
		return fmt.Errorf("%s is not among the settings of links", procNet+c.Path)
	}
	err := write(root, rest, c.Value)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	link, _, _ := strings.Cut(rest, "/")
	if _, gone := k.settings[ipv4Folder].Stat(link); gone != nil {
		return fmt.Errorf("there is no link %s", link)
	}
	if strings.HasPrefix(c.Path, ipv6Folder) {
		return nil // A link with an MTU below 1280 has no IPv6.
	}
	return err
}

func write(root *os.Root, path, value string) error {
	file, err := root.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err //nolint:wrapcheck // the caller knows what was attempted, and the error has the path
	}
	_, err = file.WriteString(value)
	return errors.Join(err, file.Close())
}
