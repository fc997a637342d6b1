package netplan

import (
	"strings"
	"testing"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/transaction"
	"multinic.dev/testbed/container"
)

// TestWhatANetworkManagerDoesTooLateUndoesNothing has it come while all is persisted already, and put its own mark on a rule that the
// executor has made in its place.
func TestWhatANetworkManagerDoesTooLateUndoesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, disk *container.Container, h *Host) {
		t.Helper()
		disk.PlugIn("eth1", macA, nil)
		came := false
		must(t, disk.Do(func() error {
			e, tr, err := start(h, nil, t.TempDir(), -1)
			if err != nil {
				return err
			}
			defer e.Close()
			h.before = func(what string) {
				if strings.Contains(what, "90-multinic0.yaml") && !came {
					came = true
					disk.IP("rule", "add", "pref", "25000", "from", "10.1.0.10", "lookup", "1835925504", "suppress_prefixlength", "0", "protocol", "static")
				}
			}
			defer func() { h.before = func(string) {} }()
			if err := tr.Recover(t.Context()); err != nil {
				return err
			}
			for _, failure := range tr.Make(t.Context(), transaction.Order{Items: []plan.Item{{Key: plan.Key{MAC: macA}, Spec: spec("10.1.0.10/24", "", 0)}}}) {
				return failure.Cause()
			}

			return nil
		}))
		if rules := disk.IP("rule"); !came || strings.Contains(rules, "static") || strings.Count(rules, "10.1.0.10") != 3 {
			t.Errorf("it came: %v, and the rules are\n%s", came, rules)
		}
	})
}
