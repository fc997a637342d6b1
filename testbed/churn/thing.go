package churn

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// thing is something that comes and goes, whole.
type thing struct {
	what   string
	add    func() error
	remove func() error
	// look words it as the kernel has it; empty when it has not.
	look func() (string, error)

	// as is how it looked when it was new.
	as string
}

// make makes it and keeps how it looks.
func (t *thing) make() error {
	err := t.add()
	if err != nil {
		return fmt.Errorf("make %s: %w", t.what, err)
	}
	if t.as, err = t.look(); err != nil {
		return fmt.Errorf("look at %s: %w", t.what, err)
	}
	if t.as == "" {
		return fmt.Errorf("%s was gone at once", t.what)
	}
	return nil
}

// unmake takes it away, unless somebody else has. It is an error if it does not look as it did.
func (t *thing) unmake() error {
	now, err := t.look()
	if err != nil {
		return fmt.Errorf("look at %s: %w", t.what, err)
	}
	if now == "" {
		return fmt.Errorf("%s was taken away by somebody else; it was: %s", t.what, t.as)
	}
	var touched error
	if now != t.as {
		touched = fmt.Errorf("%s was changed by somebody else: it was: %s; and now is: %s", t.what, t.as, now)
	}
	if err := t.remove(); err != nil {
		return errors.Join(touched, fmt.Errorf("take %s away: %w", t.what, err))
	}
	return touched
}

// listed calls a list function until what it returned is whole: a list is cut short when something changes meanwhile.
func listed[T any](list func() ([]T, error)) ([]T, error) {
	for {
		all, err := list()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return all, err
		}
	}
}
