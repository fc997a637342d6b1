package netplan

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"

	"multinic.dev/executor/internal/link"
	"multinic.dev/executor/internal/networkd"
	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/record"
	"multinic.dev/executor/internal/transaction"
	"multinic.dev/testbed/container"
)

const (
	macA = "02:00:00:00:00:0a"
	macB = "02:00:00:00:00:0b"
)

// executor is what makes transactions on a host's kernel and disk. Each of its effects on either is counted, and it dies before one of
// them.
type executor struct {
	*link.Kernel
	*record.Record
	*transaction.Journal

	host *Host
	// manager is the host's networkd; nil: it is not told of anything.
	manager *networkd.Manager
	// last is how many effects there may be; negative: any number.
	last int
	made []string
}

func (e *executor) effect(what string) {
	if len(e.made) == e.last {
		panic(killed{})
	}
	e.made = append(e.made, what)
}

func (e *executor) Read(ctx context.Context) (kernel plan.Kernel, err error) {
	if kernel, err = e.Kernel.Read(ctx); err == nil {
		kernel.Persisted, err = e.host.Read()
	}

	return kernel, err
}

func (e *executor) Apply(change plan.Change) error {
	e.effect(change.String())

	return e.Kernel.Apply(change)
}

func (e *executor) Claim(key plan.Key, name string, was record.Was) error {
	e.effect("claim " + name)

	return e.Record.Claim(key, name, was)
}

func (e *executor) Prove(key plan.Key, spec plan.Spec) error {
	e.effect("prove " + key.MAC)

	return e.Record.Prove(key, spec)
}

func (e *executor) Release(mac string, vlans []int, whole bool) error {
	e.effect("release " + mac)

	return e.Record.Release(mac, vlans, whole)
}

func (e *executor) Restore(mac string, before []record.Card) error {
	e.effect("restore " + mac)

	return e.Record.Restore(mac, before)
}

// journal is the part of executor that is a transaction.Keeper; its Read would be the kernel's otherwise.
type journal struct{ *executor }

func (j journal) Read() (*transaction.Entry, error) { return j.Journal.Read() }

func (j journal) Begin(entry transaction.Entry) error {
	j.effect("journal begin")

	return j.Journal.Begin(entry)
}

func (j journal) End() error {
	j.effect("journal end")

	return j.Journal.End()
}

// manager is the part of executor that is a transaction.Manager.
type manager struct{ *executor }

func (m manager) Tell(ctx context.Context, configs []plan.Config, forget []string) error {
	m.effect("tell networkd")

	return m.manager.Tell(ctx, configs, forget)
}

func (m manager) Ready(ctx context.Context) error { return m.manager.Ready(ctx) }

func (m manager) Observe(ctx context.Context) { m.manager.Observe(ctx) }

func (m manager) Knows(nic string) bool { return m.manager.Knows(nic) }

func (m manager) IsTold(config plan.Config) bool { return m.manager.IsTold(config) }

// start is an executor that starts in the namespace of the calling thread.
func start(h *Host, networkd *networkd.Manager, dir string, last int) (*executor, *transaction.Transactor, error) {
	kernel, err := link.Open("/")
	if err != nil {
		return nil, nil, err
	}
	r, err := record.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	e := &executor{Kernel: kernel, Record: r, Journal: transaction.OpenJournal(dir), host: h, manager: networkd, last: last}
	h.before = e.effect

	config := transaction.Config{
		Kernel: e, Record: e, Journal: journal{e}, Files: h, Prober: transaction.Unguarded{}, Guard: transaction.Unguarded{}, Log: zap.NewNop(),
		Machine: "m", Boot: "b",
	}
	if networkd != nil {
		config.Manager = manager{e}
	}

	return e, transaction.New(config), nil
}

// site is where executors live, one after the other.
type site struct {
	disk *container.Container
	host *Host
	// networkd is the host's; nil: none runs, or it is not told of anything.
	networkd *networkd.Manager
	dir      string
}

// life is one executor, from its start to its end or its death before an effect. It recovers, and then, if it is to, makes items and
// gives up the cards that none is for.
func (s *site) life(t *testing.T, last int, works bool, items []plan.Item) (made []string) {
	t.Helper()
	err := s.disk.Do(func() error {
		e, tr, err := start(s.host, s.networkd, s.dir, last)
		if err != nil {
			return err
		}
		defer e.Close()
		defer func() {
			made, s.host.before = e.made, func(string) {}
			if r := recover(); r != nil && r != any(killed{}) {
				panic(r)
			}
		}()
		if err := tr.Recover(t.Context()); err != nil || !works {
			return err
		}
		var releases []plan.Release
		for _, card := range e.Cards() {
			if !slices.ContainsFunc(items, func(item plan.Item) bool { return item.Key.MAC == card.MAC }) {
				releases = append(releases, plan.Release{MAC: card.MAC, VLANs: []int{0}, Whole: true, Original: &card.Was.Original})
			}
		}
		failures := transaction.Failures{}
		if len(releases) > 0 {
			failures = tr.Release(t.Context(), releases)
		}
		maps.Copy(failures, tr.Make(t.Context(), transaction.Order{Items: items}))
		for _, failure := range failures {
			return failure.Cause()
		}

		return nil
	})
	must(t, err)

	return made
}

// cards are what the cards are now, by their MACs, with what the next boot makes of them.
func cards(t *testing.T, disk *container.Container, h *Host) map[string]plan.Former {
	t.Helper()
	found := map[string]plan.Former{}
	must(t, disk.Do(func() error {
		e, _, err := start(h, nil, t.TempDir(), -1)
		if err != nil {
			return err
		}
		defer e.Close()
		h.before = func(string) {}
		kernel, err := e.Read(t.Context())
		for i := range kernel.Links {
			if err == nil {
				kernel.Links[i].Settings, err = e.Settings(kernel.Links[i].Name)
			}
		}
		for _, mac := range []string{macA, macB} {
			former := plan.FormerOf(mac, []string{"multinic0", "multinic1"}, kernel)
			former.Numbers = nil // Not of the card, but of what is asked.
			for i := range former.Links {
				former.Links[i].Addresses = slices.DeleteFunc(former.Links[i].Addresses, func(a plan.Address) bool { return a.LinkLocal })
			}
			slices.SortFunc(former.Routes, func(a, b plan.Route) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			slices.SortFunc(former.Rules, func(a, b plan.Rule) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			found[mac] = former
		}

		return err
	}))

	return found
}

// booted is the part of the next boot that is of one NIC.
func booted(all, nic string) string {
	var part strings.Builder
	for paragraph := range strings.SplitSeq(all, "=== ") {
		if strings.Contains(paragraph, nic) {
			part.WriteString(paragraph)
		}
	}

	return part.String()
}

// TestAnExecutorKilledAtAnyStepLeavesEachNICWhole kills it before each single effect on the kernel and on the disk, and its successors
// in their recovery. Had it been the power, the next boot would make of each NIC what it was, or what it should become; and what the
// successor leaves is, of each NIC, in the kernel and for the next boot alike, the old or the new.
func TestAnExecutorKilledAtAnyStepLeavesEachNICWhole(t *testing.T) {
	item := func(mac, address string) plan.Item {
		return plan.Item{Key: plan.Key{MAC: mac}, Spec: spec(address, "", 0)}
	}
	a, b := item(macA, "10.1.0.10/24"), item(macB, "10.2.0.10/24")
	for name, test := range map[string]struct{ before, after []plan.Item }{
		"first":   {nil, []plan.Item{a, b}},
		"change":  {[]plan.Item{a, b}, []plan.Item{item(macA, "10.1.0.11/24"), item(macB, "10.2.0.11/24")}},
		"swap":    {[]plan.Item{a, b}, []plan.Item{item(macA, "10.2.0.10/24"), item(macB, "10.1.0.10/24")}},
		"removal": {[]plan.Item{a, b}, []plan.Item{b}},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, disk *container.Container, h *Host) {
				t.Helper()
				disk.PlugIn("eth1", macA, nil)
				disk.PlugIn("eth2", macB, nil)
				s := &site{disk: disk, host: h, dir: t.TempDir()}
				reach := func(items []plan.Item) { s.life(t, -1, true, items) }
				reach(test.before)
				old, oldBoot := cards(t, disk, h), nextBoot(t, disk, h)
				made := s.life(t, -1, true, test.after)
				next, nextOne := cards(t, disk, h), nextBoot(t, disk, h)
				if reflect.DeepEqual(old, next) || len(made) < 10 {
					t.Fatalf("nothing has changed, or all by %q", made)
				}
				for last := range made {
					reach(test.before)
					s.life(t, last, true, test.after)
					boot := nextBoot(t, disk, h)
					for _, nic := range []string{"multinic0", "multinic1"} {
						if got := booted(boot, nic); got != booted(oldBoot, nic) && got != booted(nextOne, nic) {
							t.Errorf("the power cut before %q: the next boot makes of %s\n%s", made[last], nic, got)
						}
					}
					// The successors die as well, each a step later.
					for dies := 0; len(s.life(t, dies, false, nil)) == dies; dies++ {
						if dies > 100 {
							t.Fatal("the recovery never gets through")
						}
					}
					is := cards(t, disk, h)
					for _, mac := range []string{macA, macB} {
						if !reflect.DeepEqual(is[mac], old[mac]) && !reflect.DeepEqual(is[mac], next[mac]) {
							t.Errorf("killed before %q, %s is\n%+v\nwhich is neither\n%+v\nnor\n%+v", made[last], mac, is[mac], old[mac], next[mac])
						}
					}
				}
			})
		})
	}
}
