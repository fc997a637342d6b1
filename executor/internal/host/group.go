package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// GroupID is the id of a group of the host's, or root's where there is none.
func GroupID(root, name string) (int, error) {
	data, err := os.ReadFile(filepath.Join(root, "etc/group"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find the group %s: %w", name, err)
	}
	for line := range strings.Lines(string(data)) {
		var id int
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) < 3 || fields[0] != name {
			continue
		}
		if _, err := fmt.Sscan(fields[2], &id); err == nil {
			return id, nil
		}
	}
	return 0, nil
}
