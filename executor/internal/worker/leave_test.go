package worker_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"multinic.dev/executor/internal/plan"
)

// manager plays the host's network manager: what it says of each link, by its index.
type manager map[int]string

// Has says that it has what it is at work on, or has done with. It thinks of a link of which it has said nothing.
func (m manager) Has(link int) (has, done bool) {
	switch m[link] {
	case "done":
		return true, true
	case "unmanaged":
		return false, true
	}

	return true, false
}

// loseAll takes all that a card carries away from it.
func (b *bench) loseAll() {
	b.kernel.happen(func() {
		b.kernel.has.Links[1].Addresses, b.kernel.has.Routes, b.kernel.has.Rules = nil, nil, nil
	})
	b.settle()
}

// TestWhatTheHostsManagerIsSettingUpIsLeftToItForAWhile and then made right without it; where it has done, or the interface is not its
// own, that is made at once, but for a tenth of a second in which it may still begin.
func TestWhatTheHostsManagerIsSettingUpIsLeftToItForAWhile(t *testing.T) {
	for _, test := range []struct {
		says        string
		least, most time.Duration
	}{
		{"", 2 * time.Second, 2200 * time.Millisecond},
		{"working", 2 * time.Second, 2200 * time.Millisecond},
		{"done", 100 * time.Millisecond, 300 * time.Millisecond},
		{"unmanaged", 0, 100 * time.Millisecond},
	} {
		t.Run("it says "+test.says, func(t *testing.T) {
			play(t, []string{macA}, func(b *bench) {
				b.manager = manager{2: test.says}
				b.end()
				b.restart()
				b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
				b.expect("stream 1 generation 1", "a r1 multinic0 READY") // What is new is not waited for.
				b.kernel.took()
				began := time.Now()
				b.loseAll()
				for len(b.kernel.took()) == 0 {
					if time.Since(began) > time.Minute {
						t.Fatal("it is left alone for ever")
					}
					if report, _ := b.reports.Get(); test.says != "unmanaged" && !strings.HasSuffix(fmt.Sprint(report.Results[0].State()), "APPLYING") {
						t.Errorf("it is said to be %v", report.Results[0].State())
					}
					time.Sleep(10 * time.Millisecond)
					synctest.Wait()
				}
				if took := time.Since(began); took < test.least || took > test.most {
					t.Errorf("it was made right after %v", took)
				}
				b.settle()
				b.expect("stream 1 generation 1", "a r1 multinic0 READY")
			})
		})
	}
}

// TestWhatTheHostsManagerHasSetUpItselfIsNotRepaired whatever there was in between.
func TestWhatTheHostsManagerHasSetUpItselfIsNotRepaired(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		b.manager = manager{2: "done"}
		b.end()
		b.restart()
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
		b.kernel.took()
		has := read(b.T, b.kernel)
		b.quietly(func() { b.manager[2] = "working" })
		b.loseAll()
		b.kernel.happen(func() { b.kernel.has.Routes = slices.Clone(has.Routes) })
		b.settle()
		b.kernel.happen(func() {
			b.kernel.has.Links[1].Addresses, b.kernel.has.Rules = has.Links[1].Addresses, has.Rules
		})
		b.quietly(func() { b.manager[2] = "done" })
		time.Sleep(time.Minute)
		b.settle()
		if took := b.kernel.took(); len(took) > 0 {
			t.Errorf("it was repaired: %v", took)
		}
		b.expect("stream 1 generation 1", "a r1 multinic0 READY")
	})
}

// TestWhatIsAskedForAnewIsNotLeftToTheHostsManager nor are other interfaces, while one is.
func TestWhatIsAskedForAnewIsNotLeftToTheHostsManager(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		b.manager = manager{2: "working", 3: "unmanaged"}
		b.end()
		b.restart()
		b.want(1, 1, item(macA, "r1", "192.0.2.10/24"), item(macB, "r2", "198.51.100.10/24"))
		b.kernel.happen(func() {
			b.kernel.has.Links[1].Addresses, b.kernel.has.Links[2].Addresses = nil, []plan.Address{{Prefix: prefix("10.9.9.9/24")}}
		})
		b.settle()
		b.expect("stream 1 generation 1", "a r1 multinic0 APPLYING UNSPECIFIED: the host's network manager is setting it up, and is waited for", "b r2 multinic1 READY")
		b.want(1, 2, item(macA, "r3", "192.0.2.11/24"), item(macB, "r2", "198.51.100.10/24"))
		b.expect("stream 1 generation 2", "a r3 multinic0 READY", "b r2 multinic1 READY")
	})
}

// TestARepairThatHasFailedIsTriedAgain whatever the host's manager says of the interface: it is not left to it a second time.
func TestARepairThatHasFailedIsTriedAgain(t *testing.T) {
	for _, says := range []string{"", "working", "done", "unmanaged"} {
		t.Run("it says "+says, func(t *testing.T) {
			play(t, []string{macA}, func(b *bench) {
				b.manager = manager{2: says}
				b.end()
				b.restart()
				b.want(1, 1, item(macA, "r1", "192.0.2.10/24"))
				b.expect("stream 1 generation 1", "a r1 multinic0 READY")
				refused := 0
				b.quietly(func() {
					b.kernel.refuse = func(change plan.Change) error {
						if _, is := change.(plan.AddAddress); is && refused < 2 {
							refused++
							return errors.New("no buffer space available")
						}
						return nil
					}
				})
				b.loseAll()
				time.Sleep(30 * time.Second)
				b.settle()
				if refused != 2 {
					t.Errorf("it was tried %d times in vain", refused)
				}
				b.expect("stream 1 generation 1", "a r1 multinic0 READY")
			})
		})
	}
}
