package worker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"multinic.dev/executor/internal/latest"
	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/record"
	"multinic.dev/executor/internal/transaction"
	"multinic.dev/executor/internal/work"
	"multinic.dev/executor/internal/worker"
)

const (
	macA = "02:00:00:00:00:0a"
	macB = "02:00:00:00:00:0b"
	macC = "02:00:00:00:00:0c"
)

// bench is a worker with all that it stands on.
type bench struct {
	*testing.T

	// dir has the record.
	dir     string
	kernel  *fakeKernel
	record  *failing
	worker  *worker.Worker
	sets    *latest.Value[work.Set]
	reports *latest.Value[work.Report]
	logs    *observer.ObservedLogs
	meter   *meter
	// inUse are the addresses that others on the wire have, by their MACs, and lost is what the node's own network loses by a
	// transaction.
	inUse map[string]string
	lost  error
	// lostBy is what it loses by what the kernel has then; nil: nothing more.
	lostBy func(kernel plan.Kernel) error
	// chance is what the next worker has for Chance; nil: always 0.
	chance func() float64
	// manager is the host's network manager for the next worker; nil: there is none.
	manager manager
	// observe has the next worker only observe.
	observe bool
	// stop ends the worker and returns what it ended with.
	stop func() error
}

// failing is a record that can be made to fail. It puts what was written, and when, into the kernel's list of
// changes.
type failing struct {
	*record.Record

	kernel *fakeKernel
	// claim and prove are what the methods fail with; nil: they do not. The kernel's mu guards them.
	claim, prove error
}

func (f *failing) Claim(key plan.Key, name string, was record.Was) error {
	f.kernel.mu.Lock()
	defer f.kernel.mu.Unlock()
	if f.claim != nil {
		return f.claim
	}
	if !slices.ContainsFunc(f.Cards(), func(each record.Card) bool { return each.MAC == key.MAC }) {
		f.kernel.applied = append(f.kernel.applied, "claim "+key.MAC+" "+name)
	}

	return f.Record.Claim(key, name, was)
}

func (f *failing) Prove(key plan.Key, spec plan.Spec) error {
	f.kernel.mu.Lock()
	defer f.kernel.mu.Unlock()
	if f.prove != nil {
		return f.prove
	}

	return f.Record.Prove(key, spec)
}

func (f *failing) fail(claim, prove error) {
	f.kernel.mu.Lock()
	defer f.kernel.mu.Unlock()
	f.claim, f.prove = claim, prove
}

// meter keeps the numbers.
type meter struct {
	reported, ready, failed, activated int
}

func (m *meter) Reported(work.Report) { m.reported++ }
func (m *meter) Applied(ready bool) {
	if ready {
		m.ready++
	} else {
		m.failed++
	}
}
func (m *meter) Activated(time.Duration) { m.activated++ }

// play runs a test in a bubble of its own time, where waiting costs none, with a node that has bare cards with the given MACs.
// Chance says 0 at first. The worker has settled.
func play(t *testing.T, macs []string, test func(*bench)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, dir: dir, kernel: newFakeKernel(macs...)}
		b.restart()
		test(b)
		b.end()
	})
}

// restart makes a new worker on the kernel as it is and the record as it is on disk, and runs it until it has settled.
func (b *bench) restart() {
	b.Helper()
	opened, err := record.Open(b.dir)
	if err != nil {
		b.Fatal(err)
	}
	core, logs := observer.New(zapcore.InfoLevel)
	b.record, b.logs, b.meter = &failing{Record: opened, kernel: b.kernel}, logs, &meter{}
	b.sets, b.reports = latest.New[work.Set](), latest.New[work.Report]()
	transactions := transaction.New(transaction.Config{
		Kernel: b.kernel, Record: b.record, Journal: transaction.OpenJournal(b.dir), Files: transaction.Volatile{}, Prober: b, Guard: b, Log: zap.New(core), Machine: "m", Boot: "b",
	})
	chance := func() float64 { return 0 }
	if b.chance != nil {
		chance = b.chance
	}
	config := worker.Config{
		Kernel: b.kernel, Record: b.record, Transactions: transactions, Observe: b.observe, Boot: "b", Sets: b.sets, Reports: b.reports, Meter: b.meter,
		Log: zap.New(core), Chance: chance,
	}
	if b.manager != nil {
		config.Manager = b.manager
	}
	b.worker = worker.New(config)
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.worker.Run(ctx) }()
	b.stop = sync.OnceValue(func() error {
		cancel()

		return <-ended
	})
	b.settle()
}

// InUse plays the hosts on the wire.
func (b *bench) InUse(_ context.Context, wanted []transaction.Wanted, _ []string) ([]string, error) {
	b.kernel.mu.Lock()
	defer b.kernel.mu.Unlock()
	holders := make([]string, len(wanted))
	for i, one := range wanted {
		holders[i] = b.inUse[one.Address.String()]
	}

	return holders, nil
}

// Begin plays the guard over the node's own network.
func (b *bench) Begin(context.Context, plan.Kernel, plan.Claims) (func(context.Context) error, error) {
	return func(context.Context) error {
		b.kernel.mu.Lock()
		defer b.kernel.mu.Unlock()

		if b.lost == nil && b.lostBy != nil {
			return b.lostBy(b.kernel.has)
		}

		return b.lost
	}, nil
}

// quietly lets something become so of which the kernel gives no sign.
func (b *bench) quietly(what func()) {
	b.kernel.mu.Lock()
	defer b.kernel.mu.Unlock()
	what()
}

// end ends the worker, which must be in good order.
func (b *bench) end() {
	b.Helper()
	if err := b.stop(); err != nil {
		b.Errorf("the worker ended with %v", err)
	}
}

// settle waits until nothing happens any more but retries: the kernel's signs are waited for a twentieth of a second.
func (b *bench) settle() {
	time.Sleep(100 * time.Millisecond)
	synctest.Wait()
}

// want makes a set the newest, and waits until all of it has been tried.
func (b *bench) want(stream, number uint64, items ...work.Item) {
	b.sets.Put(work.Set{Generation: work.Generation{Stream: stream, Number: number}, Items: items})
	b.settle()
}

// expect compares the newest report with lines: the generation, then each result.
func (b *bench) expect(lines ...string) {
	b.Helper()
	report, _ := b.reports.Get()
	got := []string{fmt.Sprintf("stream %d generation %d", report.Generation.Stream, report.Generation.Number)}
	for _, result := range report.Results {
		line := strings.Join([]string{result.Key.MAC[len(result.Key.MAC)-1:], result.Revision, result.Name, strings.TrimPrefix(result.State().String(), "STATE_")}, " ")
		if !result.Ready() {
			line += " " + strings.TrimPrefix(result.Problem.Reason.String(), "REASON_") + ": " + result.Problem.Message
		}
		if !result.NextRetry.IsZero() {
			line += fmt.Sprintf(" (attempt %d, next in %v)", result.Attempts, time.Until(result.NextRetry).Round(time.Millisecond*100))
		}
		got = append(got, line)
	}
	if strings.Join(got, "\n") != strings.Join(lines, "\n") {
		b.Errorf("the report says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

// item is an item with an address, or none.
func item(mac, revision, address string) work.Item {
	i := work.Item{Key: plan.Key{MAC: mac}, Rows: []int64{7}, Revision: revision}
	if address != "" {
		i.Spec.Address = prefix(address)
	}

	return i
}
