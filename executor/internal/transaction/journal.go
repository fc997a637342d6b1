package transaction

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"multinic.dev/executor/internal/durable"
	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/record"
)

// journalVersion is the format of the file. It grows when an older executor could misread a newer file.
const journalVersion = 1

// journalName is the file's name in the state directory.
const journalName = "journal.json"

// Entry is what the journal says of a transaction that is under way: what must be put back if it does not end.
type Entry struct {
	// Machine and Boot are the ids of the machine and of its boot. On another machine, one that was cloned, nothing of it is
	// true; after another boot the kernel has nothing of it any more, and only the record must be put back.
	Machine string `json:"machine"`
	Boot    string `json:"boot"`
	// Cards are what the cards were that are being changed.
	Cards []plan.Former `json:"cards"`
	// Record is the record as it was.
	Record []record.Card `json:"record"`
}

// Journal is the file that says which transaction is under way. Not safe for concurrent use.
type Journal struct{ path string }

// OpenJournal names the journal in a state directory. It reads nothing yet.
func OpenJournal(dir string) *Journal { return &Journal{path: filepath.Join(dir, journalName)} }

type journalContent struct {
	Version int   `json:"version"`
	Entry   Entry `json:"transaction"`
}

// Read returns the transaction that was under way; nil: none was. A file that cannot be understood is an error that names it,
// and stays as it is: what it says must be put back is not known otherwise.
func (j *Journal) Read() (*Entry, error) {
	data, err := os.ReadFile(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // as the comment says
	}
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	var c journalContent
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): look whether the multinic interfaces are as they should be, then remove it", j.path, err)
	}
	if c.Version != journalVersion {
		return nil, fmt.Errorf("%s has format %d and this executor knows only %d: run the version that wrote it", j.path, c.Version, journalVersion)
	}
	return &c.Entry, nil
}

// Begin writes down that a transaction is under way, in the place of any that was. When it returns nil, that survives a power
// cut.
func (j *Journal) Begin(entry Entry) error {
	data, err := json.MarshalIndent(journalContent{Version: journalVersion, Entry: entry}, "", "  ")
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	if err := durable.Write(j.path, append(data, '\n')); err != nil {
		return fmt.Errorf("keep the journal: %w", err)
	}
	return nil
}

// End writes down that no transaction is under way.
func (j *Journal) End() error {
	if err := durable.Remove(j.path); err != nil {
		return fmt.Errorf("end the journal: %w", err)
	}
	return nil
}
