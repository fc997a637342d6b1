// Package worker makes the node's kernel what the newest WorkSet asks for, as far as it can, and reports what it has.
package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"multinic.dev/executor/internal/latest"
	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/record"
	"multinic.dev/executor/internal/work"
)

// Kernel is the node's kernel.
type Kernel interface {
	// Read reads what the kernel has.
	Read(ctx context.Context) (plan.Kernel, error)
	// Surroundings adds to what was read what stands on the kernel's links in other network namespaces, and who else configures NICs.
	Surroundings(ctx context.Context, kernel *plan.Kernel) error
	// Watch calls wake once at first, and whenever something may have changed since that Read would show and a plan could
	// depend on. It returns nil when ctx ends, and an error when it cannot listen any more. Wake does not block.
	Watch(ctx context.Context, wake func()) error
}

// Record is what outlives the executor: which card has which name, and what was last proved of its interfaces.
type Record interface {
	// Cards returns a copy of all of it, ordered by MAC.
	Cards() []record.Card
	// Claim writes down that a card gets a name and has an interface. The same again costs nothing.
	Claim(key plan.Key, name string, was record.Was) error
	// Prove writes down what the kernel was seen to be for a claimed interface. The same again costs nothing.
	Prove(key plan.Key, spec plan.Spec) error
}

// Meter counts what the worker does.
type Meter interface {
	// Reported says what the newest report is.
	Reported(report work.Report)
	// Applied says whether an interface that was changed then was what it should be.
	Applied(ready bool)
	// Activated says how long the changes of a round took, with their proof.
	Activated(took time.Duration)
}

// Config is what a Worker is made of. All of it must be set, but for Manager.
type Config struct {
	Kernel       Kernel
	Record       Record
	Transactions Transactions
	// Manager is the host's network manager; nil: it has none.
	Manager Manager
	// Observe says that nothing is changed, in the kernel or on the disk: what would be done is reported.
	Observe bool
	// Boot is the id of the machine's boot.
	Boot string
	// Sets is where the newest WorkSet comes from. Nobody else may take from it.
	Sets *latest.Value[work.Set]
	// Reports is where each new report goes.
	Reports *latest.Value[work.Report]
	Meter   Meter
	Log     *zap.Logger
	// Chance returns random numbers of [0, 1), as rand.Float64 does.
	Chance func() float64
}

// Worker owns the node: the kernel, the record and the retries are its one goroutine's. Run it once; Alive is safe
// concurrently.
type Worker struct {
	Config

	retries *retries
	// leaving are the interfaces that are left to the manager for now.
	leaving map[plan.Key]*leave
	// leftovers are what NICs have left that are gone.
	leftovers leftovers
	// reported is the newest report, published that there was one.
	reported  work.Report
	published bool
	// asked is the newest generation by which an operator asked for another try.
	asked work.Generation

	woken chan struct{}
	alive chan struct{}
	ended chan struct{}
}

// New returns a worker that has not begun.
func New(config Config) *Worker {
	return &Worker{
		Config: config, retries: newRetries(config.Chance), leaving: map[plan.Key]*leave{},
		woken: make(chan struct{}, 1), alive: make(chan struct{}), ended: make(chan struct{}),
	}
}

// settle is how long after a sign of the kernel a round begins: one change makes several signs, and a card that is plugged
// in many. Long enough to take them in one round, short enough that nobody waits for it.
const settle = 50 * time.Millisecond

// lookAgain is how often the kernel is read though it has given no sign: of a setting, such as arp_ignore, it gives none.
const lookAgain = time.Minute

// Run puts back what a killed executor has left, and works in rounds until ctx ends; then it finishes the transaction in hand and
// returns nil. An error says that the kernel
// no longer tells of its changes, without which nothing that Run reports would stay true.
func (w *Worker) Run(ctx context.Context) error {
	defer close(w.ended)
	var watch sync.WaitGroup
	defer watch.Wait() // Run returns when ctx has ended, or the watch has.
	deaf := make(chan error, 1)
	watch.Go(func() { deaf <- w.Kernel.Watch(ctx, w.wake) })

	timer := time.NewTimer(0) // The first round reports what there is already.
	defer timer.Stop()
	due := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-deaf:
			if ctx.Err() != nil {
				return nil
			}

			return fmt.Errorf("listen to the kernel: %w", err)
		case w.alive <- struct{}{}:
			continue
		case <-w.woken:
			if soon := time.Now().Add(settle); soon.Before(due) {
				due = soon
				timer.Reset(settle)
			}

			continue
		case <-w.Sets.Moved():
		case <-timer.C:
		}
		w.round(ctx)
		timer.Stop()
		due = time.Now().Add(lookAgain)
		for _, next := range []time.Time{w.retries.next(time.Now()), w.nextLook(time.Now()), w.nextClearing(time.Now())} {
			if !next.IsZero() && next.Before(due) {
				due = next
			}
		}
		timer.Reset(time.Until(due))
	}
}

// wake asks for a round.
func (w *Worker) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// Alive returns nil once the worker stands between two rounds, and an error if it has stopped or ctx ends before.
func (w *Worker) Alive(ctx context.Context) error {
	select {
	case <-w.alive:
		return nil
	case <-w.ended:
		return errors.New("the worker has stopped")
	case <-ctx.Done():
		return errors.New("the worker has been busy with one round all the time")
	}
}
