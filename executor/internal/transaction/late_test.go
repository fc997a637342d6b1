package transaction_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/transaction"
	"multinic.dev/testbed/oracle"
)

// lasting is a kernel with files that outlive a boot, and with a network manager that does something only while they are written.
type lasting struct {
	*effects
	transaction.Volatile

	persisted map[string]plan.Config
	late      func()
}

func (l *lasting) Read(ctx context.Context) (plan.Kernel, error) {
	kernel, err := l.effects.Read(ctx)
	kernel.Persisted = l.persisted

	return kernel, err
}

func (*lasting) Check(_ context.Context, configs []plan.Config) []error {
	return make([]error, len(configs))
}

func (l *lasting) Persist(_ context.Context, configs []plan.Config, _ []string) error {
	for _, config := range configs {
		l.persisted[config.NIC] = config
		l.late()
	}

	return nil
}

// TestWhatTheManagerDoesLateIsPutRight and nothing is undone for it: it marks what it does as its own, so it is there twice, or takes away
// what it has not done.
func TestWhatTheManagerDoesLateIsPutRight(t *testing.T) {
	for what, late := range map[string][]string{
		"twice": {
			"rule add pref 25000 from 198.51.100.10 lookup 1835925504 suppress_prefixlength 0 protocol static",
			"rule add pref 25002 from 198.51.100.10 lookup 1835925504 protocol static",
		},
		"gone": {"address delete 198.51.100.10/24 dev multinic0"},
	} {
		t.Run(what, func(t *testing.T) {
			s := newStage(t, "late-"+what)
			s.with(func(e *effects, _ *transaction.Transactor) {
				l := &lasting{effects: e, persisted: map[string]plan.Config{}}
				l.late = func() {
					for _, command := range late {
						s.node.IP(strings.Fields(command)...)
					}
				}
				tr := transaction.New(transaction.Config{
					Kernel: l, Record: e, Journal: journal{e}, Files: l, Prober: transaction.Unguarded{}, Guard: transaction.Unguarded{}, Log: zap.NewNop(),
					Machine: "m", Boot: "b",
				})
				row := oracle.Row{MAC: macA, Address: "198.51.100.10", Mask: "24"}
				for _, failure := range tr.Make(t.Context(), transaction.Order{Items: itemsOf([]oracle.Row{row})}) {
					t.Errorf("it has failed: %v", failure.Cause())
				}
				kernel, err := l.Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, decision := range plan.Decide(itemsOf([]oracle.Row{row}), plan.Claims{macA: {Name: "multinic0", VLANs: []int{0}}}, kernel).Decisions {
					if decision.Obstacle != plan.None || len(decision.Changes) > 0 {
						t.Errorf("left to be done: %v %v", decision.Message, decision.Changes)
					}
				}
			})
		})
	}
}

// TestWhatFailsOncePersistedIsPutBackWithWhatHasItsAddress has two cards exchange their addresses, and one of them lose its new one for
// good while that is persisted: neither has what the other has, in the kernel and in what outlives a boot.
func TestWhatFailsOncePersistedIsPutBackWithWhatHasItsAddress(t *testing.T) {
	s := newStage(t, "late-swap")
	s.with(func(e *effects, _ *transaction.Transactor) {
		l := &lasting{effects: e, persisted: map[string]plan.Config{}, late: func() {}}
		tr := transaction.New(transaction.Config{
			Kernel: l, Record: e, Journal: journal{e}, Files: l, Prober: transaction.Unguarded{}, Guard: transaction.Unguarded{}, Log: zap.NewNop(),
			Machine: "m", Boot: "b",
		})
		before := []oracle.Row{{MAC: macA, Address: "198.51.100.10", Mask: "24"}, {MAC: macB, Address: "198.51.100.11", Mask: "24"}}
		for _, failure := range tr.Make(t.Context(), transaction.Order{Items: itemsOf(before)}) {
			t.Fatal(failure.Cause())
		}
		l.late = func() {
			l.late = func() {}
			s.node.IP("address", "delete", "198.51.100.11/24", "dev", "multinic0")
			e.refused = "address add 198.51.100.11/24 dev multinic0"
		}
		after := slices.Clone(before)
		after[0].Address, after[1].Address = before[1].Address, before[0].Address
		failures := tr.Make(t.Context(), transaction.Order{Items: itemsOf(after)})
		for _, mac := range []string{macA, macB} {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(failures)), func(key plan.Key) bool { return key.MAC == mac }) {
				t.Errorf("%s is said to be as it should", mac)
			}
		}
		kernel, err := l.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		claims := plan.Claims{macA: {Name: "multinic0", VLANs: []int{0}}, macB: {Name: "multinic1", VLANs: []int{0}}}
		for _, decision := range plan.Decide(itemsOf(before), claims, kernel).Decisions {
			if decision.Obstacle != plan.None || len(decision.Changes) > 0 {
				t.Errorf("it is not what it was: %v %v", decision.Message, decision.Changes)
			}
		}
	})
}
