package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"

	"multinic.dev/dispatcher/internal/reconcile"
	"multinic.dev/dispatcher/internal/row"
	"multinic.dev/dispatcher/internal/store"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// table plays the store, whose own tests hold the real one to what reconcile.Table says. Everything is under mu.
type table struct {
	mu      sync.Mutex
	commits [][]int64
	reread  []string
	// answer is what becomes of a commit; nil: every row is set that is confirmed.
	answer func(ctx context.Context, rows []row.Row) ([]bool, error)
}

func (f *table) Commit(ctx context.Context, rows []row.Row, confirm func([]row.Row) []bool) ([]bool, error) {
	var ids []int64
	for _, r := range rows {
		ids = append(ids, r.ID)
	}
	f.mu.Lock()
	f.commits = append(f.commits, ids)
	answer := f.answer
	f.mu.Unlock()
	if answer != nil {
		if committed, err := answer(ctx, rows); err != nil || !committed[0] {
			return committed, err
		}
	}

	return confirm(rows), nil
}

func (f *table) Reread(nodes ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reread = append(f.reread, nodes...)
}

// hold makes commits wait until the function that it returns is called.
func (f *table) hold() (release func()) {
	held := make(chan struct{})
	f.answer = func(_ context.Context, rows []row.Row) ([]bool, error) {
		<-held

		return slices.Repeat([]bool{true}, len(rows)), nil
	}

	return func() { close(held) }
}

func (f *table) seen() string {
	f.mu.Lock()
	defer f.mu.Unlock()

	return fmt.Sprint(f.commits, f.reread)
}

// run plays a scene against a reconciler in virtual time; stop ends Run and waits for it.
func run(t *testing.T, f *table, scene func(r *reconcile.Reconciler, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := reconcile.New(f, policy(), zaptest.NewLogger(t), time.Now)
		var running sync.WaitGroup
		running.Go(func() { _ = r.Run(ctx) })
		stop := func() { cancel(); running.Wait() }
		scene(r, stop)
		stop()
	})
}

// start runs a reconciler with a table that takes everything, inside a bubble; end ends it.
func start(t *testing.T, policy reconcile.Policy) (r *reconcile.Reconciler, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r = reconcile.New(&table{}, policy, zaptest.NewLogger(t), time.Now)
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) })

	return r, func() { cancel(); running.Wait() }
}

// policy is that of a dispatcher that was told nothing.
func policy() reconcile.Policy {
	return reconcile.Policy{HoldDown: time.Minute, GuardShare: 0.2}
}

// aRow is a pending row of a node, with a MAC of its own.
func aRow(node string, id int64) row.Row {
	return row.Row{ID: id, Node: row.Text(node), MAC: row.Text(fmt.Sprintf("02:00:5e:00:%02x:%02x", id/256, id%256)), Address: row.Null(), Mask: row.Null()}
}

func picture(rows ...row.Row) store.Change {
	change := store.Change{Full: true, Nodes: map[string][]row.Row{}}
	for _, r := range rows {
		change.Nodes[r.Node.Text] = append(change.Nodes[r.Node.Text], r)
	}

	return change
}

// open begins a session of a node that has nothing, and returns its first work.
func open(t *testing.T, r *reconcile.Reconciler, node string) (*reconcile.Session, *multinicv1.WorkSet) {
	t.Helper()
	session, err := r.Open(node, "")
	if err != nil {
		t.Fatal(err)
	}
	r.Report(session, &multinicv1.NodeReport{})

	return session, <-session.Work()
}

// proof is a report that proves all of a WorkSet.
func proof(work *multinicv1.WorkSet) *multinicv1.NodeReport {
	report := &multinicv1.NodeReport{}
	for _, item := range work.GetItems() {
		report.Results = append(report.Results, &multinicv1.WorkResult{
			Key: item.GetKey(), Revision: item.GetRevision(), VerifiedGeneration: work.GetGeneration(), State: multinicv1.State_STATE_READY,
		})
	}

	return report
}

func TestWhatIsProvedWhileACommitIsUnderWayGoesTogetherInTheNext(t *testing.T) {
	f := &table{}
	run(t, f, func(r *reconcile.Reconciler, _ func()) {
		release := f.hold()
		r.Changed(picture(aRow("a", 1), aRow("b", 2), aRow("c", 3)))
		for _, node := range []string{"a", "b", "c"} {
			session, work := open(t, r, node)
			r.Report(session, proof(work))
		}
		synctest.Wait()
		if got := f.seen(); got != "[[1]] []" {
			t.Errorf("while the first commit is under way: %s", got)
		}
		release()
		synctest.Wait()
		f.mu.Lock()
		slices.Sort(f.commits[1])
		slices.Sort(f.reread)
		f.mu.Unlock()
		if got := f.seen(); got != "[[1] [2 3]] [a b c]" {
			t.Errorf("commits and rereads: %s", got)
		}
	})
}

func TestABatchHasAThousandRowsOrAFewMore(t *testing.T) {
	f := &table{}
	run(t, f, func(r *reconcile.Reconciler, _ func()) {
		release := f.hold()
		var rows []row.Row
		for i := range int64(2500) {
			rows = append(rows, aRow(fmt.Sprint("node", i/10), i+1))
		}
		r.Changed(picture(rows...))
		for i := range 250 {
			session, work := open(t, r, fmt.Sprint("node", i))
			r.Report(session, proof(work))
		}
		release()
		synctest.Wait()
		var sizes []int
		for _, batch := range f.commits {
			sizes = append(sizes, len(batch))
		}
		if got := fmt.Sprint(sizes); got != "[10 1000 1000 490]" {
			t.Errorf("batches of %s rows", got)
		}
	})
}

func TestWhatWasNotCommittedIsReadAgain(t *testing.T) {
	for name, answer := range map[string]func(context.Context, []row.Row) ([]bool, error){
		"overtaken": func(context.Context, []row.Row) ([]bool, error) { return []bool{false}, nil },
		"failed": func(context.Context, []row.Row) ([]bool, error) {
			return []bool{false}, errors.New("the database is away")
		},
	} {
		f := &table{answer: answer}
		run(t, f, func(r *reconcile.Reconciler, _ func()) {
			r.Changed(picture(aRow("a", 1)))
			session, work := open(t, r, "a")
			r.Report(session, proof(work))
			synctest.Wait()
			r.Report(session, proof(work))
			synctest.Wait()
			if got := f.seen(); got != "[[1]] [a]" {
				t.Errorf("%s: commits and rereads %s", name, got)
			}
			time.Sleep(time.Second) // Longer than the pause after a failure.
			r.Changed(store.Change{Nodes: map[string][]row.Row{"a": {aRow("a", 1)}}})
			r.Report(session, proof(<-session.Work()))
			synctest.Wait()
			if got := f.seen(); got != "[[1] [1]] [a a]" {
				t.Errorf("%s, then proved again: commits and rereads %s", name, got)
			}
		})
	}
}

// TestWhatIsNoLongerTrueWhenItIsAboutToBeCommittedIsNot is the lie that could be told between the proof and the commit.
func TestWhatIsNoLongerTrueWhenItIsAboutToBeCommittedIsNot(t *testing.T) {
	changed := aRow("a", 1)
	changed.MTU = row.Text("1400")
	change := func(r *reconcile.Reconciler, to row.Row) {
		r.Changed(store.Change{Nodes: map[string][]row.Row{"a": {to}}})
	}
	for _, test := range []struct {
		name      string
		meanwhile func(t *testing.T, r *reconcile.Reconciler, session *reconcile.Session, work *multinicv1.WorkSet)
		commits   uint64
	}{
		{"nothing happens", func(*testing.T, *reconcile.Reconciler, *reconcile.Session, *multinicv1.WorkSet) {}, 1},
		{"the row becomes B and A again", func(_ *testing.T, r *reconcile.Reconciler, _ *reconcile.Session, _ *multinicv1.WorkSet) {
			change(r, changed)
			change(r, aRow("a", 1))
		}, 0},
		{"the node takes it back", func(_ *testing.T, r *reconcile.Reconciler, session *reconcile.Session, _ *multinicv1.WorkSet) {
			r.Report(session, &multinicv1.NodeReport{})
		}, 0},
		{"the session is replaced", func(t *testing.T, r *reconcile.Reconciler, _ *reconcile.Session, _ *multinicv1.WorkSet) {
			t.Helper()
			open(t, r, "a")
		}, 0},
		{"the session ends", func(_ *testing.T, r *reconcile.Reconciler, session *reconcile.Session, _ *multinicv1.WorkSet) {
			r.Close(session)
		}, 0},
	} {
		f := &table{}
		run(t, f, func(r *reconcile.Reconciler, _ func()) {
			release := f.hold()
			r.Changed(picture(aRow("a", 1)))
			session, work := open(t, r, "a")
			r.Report(session, proof(work))
			synctest.Wait()
			test.meanwhile(t, r, session, work)
			release()
			synctest.Wait()
			if stats, err := r.Stats(); err != nil || stats.Commits != test.commits {
				t.Errorf("%s: %d rows were committed, error %v", test.name, stats.Commits, err)
			}
		})
	}
}

func TestAReplacedSessionSaysNothingThatCounts(t *testing.T) {
	f := &table{}
	run(t, f, func(r *reconcile.Reconciler, _ func()) {
		r.Changed(picture(aRow("a", 1)))
		first, work := open(t, r, "a")
		second, again := open(t, r, "a")
		r.Report(first, proof(work))
		synctest.Wait()
		if got := f.seen(); got != "[] []" {
			t.Errorf("after the word of the first: commits and rereads %s", got)
		}
		r.Report(second, proof(again))
		synctest.Wait()
		if got := f.seen(); got != "[[1]] [a]" {
			t.Errorf("after the word of the second: commits and rereads %s", got)
		}
	})
}

// TestADatabaseThatTakesNoCommitsIsNotPressed plays an executor that proves whatever it is given, and a store that reads the row
// again with each poll, as it is told.
func TestADatabaseThatTakesNoCommitsIsNotPressed(t *testing.T) {
	f := &table{answer: func(context.Context, []row.Row) ([]bool, error) { return nil, errors.New("read-only") }}
	run(t, f, func(r *reconcile.Reconciler, _ func()) {
		r.Changed(picture(aRow("a", 1)))
		session, work := open(t, r, "a")
		r.Report(session, proof(work))
		const seconds = 100
		for range seconds {
			time.Sleep(time.Second)
			r.Changed(store.Change{Nodes: map[string][]row.Row{"a": {aRow("a", 1)}}})
			select {
			case work = <-session.Work():
				r.Report(session, proof(work))
			default:
			}
		}
		stats, err := r.Stats()
		if err != nil || stats.FailedCommits < 8 || stats.FailedCommits > 20 {
			t.Errorf("%d commits in %d s, error %v", stats.FailedCommits, seconds, err)
		}
		f.mu.Lock()
		f.answer = nil
		f.mu.Unlock()
		time.Sleep(10 * time.Second)
		r.Changed(store.Change{Nodes: map[string][]row.Row{"a": {aRow("a", 1)}}})
		select {
		case work = <-session.Work():
			r.Report(session, proof(work))
		default:
		}
		synctest.Wait()
		if stats, err := r.Stats(); err != nil || stats.Commits == 0 {
			t.Errorf("healed, and %d rows are committed, error %v", stats.Commits, err)
		}
	})
}

// TestAFlagThatIsSetBackWhileItsCommitIsSettledIsNoticed has the store read the flag that was set back before the reconciler has
// heard of the commit: nothing but reading it once more can show it.
func TestAFlagThatIsSetBackWhileItsCommitIsSettledIsNoticed(t *testing.T) {
	f := &table{}
	run(t, f, func(r *reconcile.Reconciler, _ func()) {
		release := f.hold()
		r.Changed(picture(aRow("a", 1)))
		session, work := open(t, r, "a")
		r.Report(session, proof(work))
		synctest.Wait()
		r.Changed(store.Change{Nodes: map[string][]row.Row{"a": {aRow("a", 1)}}})
		release()
		synctest.Wait()
		if got := f.seen(); got != "[[1]] [a]" {
			t.Fatalf("commits and rereads %s", got)
		}
		r.Changed(store.Change{Nodes: map[string][]row.Row{"a": {aRow("a", 1)}}})
		if again := <-session.Work(); again.GetGeneration() != 2 {
			t.Errorf("work %v", again)
		}
	})
}

func TestBatchesShrinkWhileTheDatabaseIsSlow(t *testing.T) {
	f := &table{answer: func(_ context.Context, rows []row.Row) ([]bool, error) {
		time.Sleep(time.Duration(len(rows)) * 10 * time.Millisecond)

		return slices.Repeat([]bool{true}, len(rows)), nil
	}}
	run(t, f, func(r *reconcile.Reconciler, _ func()) {
		var rows []row.Row
		for i := range int64(2000) {
			one := aRow(fmt.Sprint("node", i%2), i%40) // 20 interfaces a node, each asked for by 50 equal rows
			one.ID = i + 1
			rows = append(rows, one)
		}
		r.Changed(picture(rows...))
		for i := range 2 {
			session, work := open(t, r, fmt.Sprint("node", i))
			r.Report(session, proof(work))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		var sizes []int
		for _, batch := range f.commits {
			sizes = append(sizes, len(batch))
		}
		if got := fmt.Sprint(sizes); got != "[1000 500 250 125 62 31 32]" {
			t.Errorf("batches of %s rows", got)
		}
	})
}

func TestWhatWasProvedBeforeTheShutdownIsCommitted(t *testing.T) {
	f := &table{}
	run(t, f, func(r *reconcile.Reconciler, stop func()) {
		release := f.hold()
		r.Changed(picture(aRow("a", 1), aRow("b", 2)))
		var sessions []*reconcile.Session
		for _, node := range []string{"a", "b"} {
			session, work := open(t, r, node)
			r.Report(session, proof(work))
			sessions = append(sessions, session)
		}
		synctest.Wait()
		r.Drain()
		for _, session := range sessions {
			if reason := <-session.Ended(); reason != multinicv1.DrainReason_DRAIN_REASON_SHUTDOWN {
				t.Errorf("told %v", reason)
			}
			r.Close(session)
		}
		release()
		stop()
		if got := f.seen(); got != "[[1] [2]] [a b]" {
			t.Errorf("commits and rereads %s", got)
		}
	})
}

func TestTheEndFlushesWhatIsProvedAndWaitsNotForEver(t *testing.T) {
	f := &table{}
	f.answer = func(ctx context.Context, rows []row.Row) ([]bool, error) {
		f.mu.Lock()
		commits := len(f.commits)
		f.mu.Unlock()
		wait := time.Second
		if commits == 2 {
			wait = time.Hour
		}
		select {
		case <-time.After(wait):
			return slices.Repeat([]bool{true}, len(rows)), nil
		case <-ctx.Done():
			return make([]bool, len(rows)), ctx.Err()
		}
	}
	run(t, f, func(r *reconcile.Reconciler, stop func()) {
		r.Changed(picture(aRow("a", 1), aRow("b", 2)))
		for _, node := range []string{"a", "b"} {
			session, work := open(t, r, node)
			r.Report(session, proof(work))
		}
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); f.seen() != "[[1] [2]] [a b]" || took != 5*time.Second {
			t.Errorf("after %v: commits and rereads %s", took, f.seen())
		}
		if _, err := r.Open("c", ""); !errors.Is(err, reconcile.ErrStopped) {
			t.Errorf("a session was opened after the end: %v", err)
		}
		if _, err := r.Stats(); !errors.Is(err, reconcile.ErrStopped) {
			t.Errorf("there are numbers after the end: %v", err)
		}
	})
}

func TestOnlyTheNewestPictureWaitsForASlowSession(t *testing.T) {
	run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
		r.Changed(picture(aRow("a", 1)))
		session, _ := open(t, r, "a")
		for i := range int64(10) {
			r.Changed(store.Change{Nodes: map[string][]row.Row{"a": {aRow("a", i+2)}}})
		}
		work := <-session.Work()
		if work.GetGeneration() != 11 || work.GetItems()[0].GetRowIds()[0] != 11 || len(session.Work()) != 0 {
			t.Errorf("work %v, and %d more", work, len(session.Work()))
		}
	})
}

func TestANodeOfWhichNobodySpeaksIsForgotten(t *testing.T) {
	run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
		count := func(when string, want int) {
			t.Helper()
			if stats, err := r.Stats(); err != nil || stats.Nodes != want {
				t.Errorf("%s: %d nodes, error %v, want %d", when, stats.Nodes, err, want)
			}
		}
		r.Changed(picture(aRow("a", 1), aRow(row.NoNode, 2)))
		session, _ := open(t, r, "a")
		other, _ := open(t, r, "b")
		count("two sessions, and a row of no node", 2)
		r.Close(other)
		count("one of them ended", 1)
		r.Changed(store.Change{Nodes: map[string][]row.Row{"a": {}}})
		count("no rows, but a session", 1)
		r.Close(session)
		count("nothing", 0)
		r.Close(session)
		r.Report(session, &multinicv1.NodeReport{})
		count("a session that ended long ago", 0)
	})
}

func TestAProblemThatLastsIsLoggedOnceAMinuteAndAnotherKindAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.ErrorLevel)
		ctx, cancel := context.WithCancel(t.Context())
		r := reconcile.New(&table{}, policy(), zap.New(core), time.Now)
		var running sync.WaitGroup
		running.Go(func() { _ = r.Run(ctx) })
		for i := range 100 {
			r.Failed(fmt.Errorf("away, asked from port %d", i))
			time.Sleep(time.Second)
		}
		r.Failed(&store.SetupError{Message: "denied"})
		r.Polled(time.Now())
		r.Failed(errors.New("away again"))
		cancel()
		running.Wait()
		var said []any
		for _, entry := range logs.All() {
			said = append(said, entry.ContextMap()["error"])
		}
		if got := fmt.Sprint(said); got != "[away, asked from port 0 away, asked from port 60 denied away again]" {
			t.Errorf("logged %s", got)
		}
	})
}

func TestHealthIsThatOfTheNewestPoll(t *testing.T) {
	run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
		expect := func(when string, want reconcile.Health) {
			t.Helper()
			if got, err := r.Health(); err != nil || got != want {
				t.Errorf("%s: %+v, error %v, want %+v", when, got, err, want)
			}
		}
		expect("at first", reconcile.Health{})
		r.Failed(errors.New("away"))
		expect("a failed poll", reconcile.Health{Problem: "away"})
		r.Changed(picture())
		r.Polled(time.Now())
		expect("a poll", reconcile.Health{Read: true})
		r.Failed(&store.SetupError{Message: "denied"})
		expect("a poll that was refused", reconcile.Health{Read: true, Problem: "denied", NeedsSomebody: true})
		r.Polled(time.Now())
		expect("another poll", reconcile.Health{Read: true})
		r.Failed(errors.New("away"))
		expect("a failed poll", reconcile.Health{Read: true, Problem: "away"})
	})
}
