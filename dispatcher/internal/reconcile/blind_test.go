package reconcile_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"multinic.dev/dispatcher/internal/reconcile"
	"multinic.dev/dispatcher/internal/row"
	"multinic.dev/dispatcher/internal/store"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// blindly lets time pass in which the table cannot be read.
func (p *player) blindly(wait time.Duration) {
	for range int(wait / time.Second) {
		p.r.Failed(errors.New("connection refused"))
		time.Sleep(time.Second)
		p.play()
	}
}

// TestNothingIsRemovedWhileNobodyKnowsWhetherItsRowHasComeBack loses the table right after the controller's DELETE was seen.
func TestNothingIsRemovedWhileNobodyKnowsWhetherItsRowHasComeBack(t *testing.T) {
	run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
		rows := interfaces("a", 1, 3)
		r.Changed(picture(rows...))
		p := join(t, r, "a", nil)
		r.Changed(changed("a", rows[:2]...))
		p.after(time.Second)
		p.blindly(time.Hour)
		if len(p.removed) != 0 {
			t.Fatalf("removed while the table could not be read: %v", p.removed)
		}
		// A read that began before the hold-down was over says nothing of what happened since.
		r.Polled(time.Now().Add(-time.Hour - time.Second))
		time.Sleep(10 * time.Second)
		p.play()
		if len(p.removed) != 0 {
			t.Fatalf("removed by what was read before its time: %v", p.removed)
		}
		// The control: one that began afterwards does.
		p.after(0)
		if fmt.Sprint(p.removed) != "[00:03/0]" {
			t.Errorf("removed %v", p.removed)
		}
	})
}

// TestAClaimIsNothingWhileTheTableCannotBeRead has a node say what it has only then.
func TestAClaimIsNothingWhileTheTableCannotBeRead(t *testing.T) {
	run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
		rows := interfaces("a", 1, 3)
		gone := rows[2]
		gone.Node = row.Text("b")
		r.Changed(picture(append(rows[:2:2], gone)...))
		r.Polled(time.Now())
		before := &player{has: map[string]*multinicv1.WorkResult{"00:03/0": {
			Key: &multinicv1.Key{MacAddress: gone.MAC.Text}, State: multinicv1.State_STATE_READY, Taken: true,
			Proved: &multinicv1.InterfaceSpec{Address: gone.Address.Text + "/16"},
		}}}
		join(t, r, "b", nil)
		r.Failed(errors.New("connection refused"))
		p := join(t, r, "a", before)
		p.blindly(time.Hour)
		if len(p.removed) != 0 {
			t.Fatalf("removed while the table could not be read: %v", p.removed)
		}
		p.after(0)
		if fmt.Sprint(p.removed) != "[00:03/0]" {
			t.Errorf("removed %v", p.removed)
		}
	})
}

// TestARemovalThatWasSentBeforeIsNotTakenBackWhileTheTableCannotBeRead has the node not do it.
func TestARemovalThatWasSentBeforeIsNotTakenBackWhileTheTableCannotBeRead(t *testing.T) {
	run(t, &table{}, func(r *reconcile.Reconciler, _ func()) {
		rows := interfaces("a", 1, 3)
		r.Changed(picture(rows...))
		p := join(t, r, "a", nil)
		r.Changed(store.Change{Nodes: map[string][]row.Row{"a": rows[:2]}})
		time.Sleep(time.Minute)
		r.Polled(time.Now())
		synctest.Wait()
		r.Failed(errors.New("connection refused"))
		if _, _, _, err := r.Retry("a"); err != nil { // Whatever has another picture made.
			t.Fatal(err)
		}
		if work := <-p.session.Work(); len(work.GetRemovals()) != 1 {
			t.Errorf("the picture is %v", work)
		}
	})
}
