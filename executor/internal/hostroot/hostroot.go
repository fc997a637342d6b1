// Package hostroot finds the host's files for a process that sees the host's root directory somewhere else.
package hostroot

import (
	"path/filepath"

	securejoin "github.com/cyphar/filepath-securejoin"
)

// Path is a path of the host's, below its root directory, as this process sees it. Links of the host's on the way there lead to where
// they do for the host; what the path itself ends in is not followed.
func Path(root, path string) string {
	dir, err := securejoin.SecureJoin(root, filepath.Dir(path))
	if err != nil {
		return filepath.Join(root, path) // Opening it says what is wrong.
	}
	return filepath.Join(dir, filepath.Base(path))
}

// SystemdFolders are where systemd's programs look for their settings, below the root, the one that counts first; see systemd.network(5).
func SystemdFolders() []string {
	return []string{"etc/systemd", "run/systemd", "usr/local/lib/systemd", "usr/lib/systemd", "lib/systemd"}
}
