package transaction_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/record"
	"multinic.dev/executor/internal/transaction"
	"multinic.dev/testbed/oracle"
)

// slow is a host with one card, whose network manager does one thing after the other, with a pause before each. It keeps what is
// persisted, and forgets the journal.
type slow struct {
	transaction.Unguarded

	mu     sync.Mutex // guards kernel and made
	kernel plan.Kernel
	pause  time.Duration
	// astray is how often it first gives the card its address and takes it away again.
	astray int
	// most is how much the manager does of what it was told.
	most    int
	working sync.WaitGroup
	// made are the changes that were made without the manager.
	made []string
}

func (s *slow) Read(context.Context) (plan.Kernel, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kernel := s.kernel
	kernel.Links = slices.Clone(kernel.Links)
	kernel.Routes, kernel.Rules, kernel.Persisted = slices.Clone(kernel.Routes), slices.Clone(kernel.Rules), maps.Clone(kernel.Persisted)

	return kernel, nil
}

func (*slow) Surroundings(context.Context, *plan.Kernel) error { return nil }

func (s *slow) Settings(string) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.kernel.Links[0].Settings, nil
}

func (s *slow) Apply(change plan.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = append(s.made, change.String())
	switch c := change.(type) {
	case plan.AddAddress:
		s.kernel.Links[0].Addresses = append(s.kernel.Links[0].Addresses, c.Address)
	case plan.AddRoute:
		s.kernel.Routes = append(s.kernel.Routes, c.Route)
	case plan.AddRule:
		s.kernel.Rules = append(s.kernel.Rules, c.Rule)
	}

	return nil
}

// Tell has the manager begin with the card's own, six things in all. The rules that belong to no card are two more, for which nobody waits.
func (s *slow) Tell(_ context.Context, configs []plan.Config, _ []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	laid := plan.LayOut(configs[0].NIC, 0, configs[0].Interfaces[0].Spec)
	var tasks []func()
	for range s.astray {
		tasks = append(tasks, func() { s.kernel.Links[0].Addresses = []plan.Address{laid.Address} }, func() { s.kernel.Links[0].Addresses = nil })
	}
	own := len(tasks)
	tasks = append(tasks, func() { s.kernel.Links[0].Addresses = []plan.Address{laid.Address} })
	for _, route := range laid.Routes {
		route.Link = s.kernel.Links[0].Index
		tasks = append(tasks, func() { s.kernel.Routes = append(s.kernel.Routes, route) })
	}
	for _, rule := range laid.Rules[:3] {
		tasks = append(tasks, func() { s.kernel.Rules = append(s.kernel.Rules, rule) })
	}
	s.working.Go(func() {
		for _, task := range tasks[:own+s.most] {
			time.Sleep(s.pause)
			s.mu.Lock()
			task()
			s.mu.Unlock()
		}
	})

	return nil
}

func (*slow) Ready(context.Context) error { return nil }
func (*slow) Observe(context.Context)     {}
func (*slow) Knows(string) bool           { return false }
func (*slow) IsTold(plan.Config) bool     { return false }

func (*slow) Check(_ context.Context, configs []plan.Config) []error {
	return make([]error, len(configs))
}

func (s *slow) Persist(_ context.Context, configs []plan.Config, _ []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, config := range configs {
		s.kernel.Persisted[config.NIC] = config
	}

	return nil
}

func (*slow) Sweep() error { return nil }
func (*slow) Tidy() error  { return nil }

// forgetful is a journal that keeps nothing.
type forgetful struct{}

func (forgetful) Read() (*transaction.Entry, error) { return nil, nil } //nolint:nilnil // there is none
func (forgetful) Begin(transaction.Entry) error     { return nil }
func (forgetful) End() error                        { return nil }

// TestAManagerThatIsAtWorkIsLeftToIt however long all of it takes: what it was about to do would stand there twice. One that has stopped is
// not waited for much longer than three seconds.
func TestAManagerThatIsAtWorkIsLeftToIt(t *testing.T) {
	for what, test := range map[string]struct {
		pause   time.Duration
		astray  int
		most    int
		without int // how many changes are made without it
		within  time.Duration
	}{
		"fast":             {pause: time.Millisecond, most: 6, without: 0, within: time.Second},
		"slow":             {pause: 2900 * time.Millisecond, most: 6, without: 0, within: 18 * time.Second},
		"stopped":          {pause: time.Second, most: 0, without: 6, within: 4 * time.Second},
		"never done":       {pause: time.Second, astray: 20, most: 0, without: 6, within: 31 * time.Second},
		"stopped half-way": {pause: 2 * time.Second, most: 4, without: 2, within: 12 * time.Second},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				settings := map[string]string{}
				for _, setting := range plan.Settings() {
					settings[setting.Path] = setting.Value
				}
				s := &slow{pause: test.pause, astray: test.astray, most: test.most, kernel: plan.Kernel{
					Links: []plan.Link{{Index: 2, Name: "multinic0", MAC: macA, MTU: 1500, Up: true, Settings: settings}}, Persisted: map[string]plan.Config{},
				}}
				kept, err := record.Open(t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				tr := transaction.New(transaction.Config{
					Kernel: s, Record: kept, Journal: forgetful{}, Files: s, Prober: s, Guard: s, Manager: s, Log: zap.NewNop(), Machine: "m", Boot: "b",
				})
				began := time.Now()
				row := oracle.Row{MAC: macA, Address: "198.51.100.10", Mask: "24"}
				for _, failure := range tr.Make(t.Context(), transaction.Order{Items: itemsOf([]oracle.Row{row})}) {
					t.Errorf("it has failed: %v", failure.Cause())
				}
				took := time.Since(began)
				s.working.Wait()
				if len(s.made) != test.without+2 || took > test.within {
					t.Errorf("after %v there were made without it %q", took, s.made)
				}
			})
		})
	}
}
