package worker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/work"
)

func TestAnExecutorThatIsStoppedFinishesTheTransactionInHandAndBeginsNoOther(t *testing.T) {
	play(t, []string{macA, macB}, func(b *bench) {
		reached, goOn := make(chan struct{}), make(chan struct{})
		b.kernel.before = func(change plan.Change) {
			if change.String() == "link set eth1 name multinic0" {
				close(reached)
				<-goOn
			}
		}
		b.sets.Put(work.Set{Generation: work.Generation{Stream: 1, Number: 1}, Items: []work.Item{item(macA, "r1", "192.0.2.10/24")}})
		<-reached
		b.sets.Put(work.Set{Generation: work.Generation{Stream: 1, Number: 2}, Items: []work.Item{item(macA, "r1", "192.0.2.10/24"), item(macB, "r2", "")}})
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			b.end()
		}()
		synctest.Wait()
		close(goOn)
		<-stopped
		want := together([]string{"claim " + macA + " multinic0"}, theChanges("eth1", "multinic0", "192.0.2.10/24", "1835925504"))
		if got := b.kernel.took(); !slices.Equal(got, want) {
			b.Errorf("done:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if recorded := b.record.Cards(); len(recorded) != 1 || recorded[0].Interfaces[0].Proved == nil {
			b.Errorf("recorded: %+v", recorded)
		}
		b.expect("stream 0 generation 0") // Nothing was reported of it.
	})
}

func TestAWorkerIsAliveBetweenRoundsAndNoLongerWhenItHasStopped(t *testing.T) {
	play(t, []string{macA}, func(b *bench) {
		if err := b.worker.Alive(b.Context()); err != nil {
			b.Error(err)
		}
		goOn := make(chan struct{})
		b.kernel.before = func(plan.Change) { <-goOn }
		b.sets.Put(work.Set{Generation: work.Generation{Stream: 1, Number: 1}, Items: []work.Item{item(macA, "r1", "")}})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		if err := b.worker.Alive(ctx); fmt.Sprint(err) != "the worker has been busy with one round all the time" {
			b.Errorf("while it is busy: %v", err)
		}
		close(goOn)
		b.end()
		if err := b.worker.Alive(b.Context()); fmt.Sprint(err) != "the worker has stopped" {
			b.Errorf("when it has stopped: %v", err)
		}
	})
}

func TestAKernelThatTellsNoMoreEndsTheWorker(t *testing.T) {
	play(t, nil, func(b *bench) {
		b.kernel.deaf <- errors.New("no")
		b.settle()
		const want = "listen to the kernel: no"
		if err := b.stop(); fmt.Sprint(err) != want {
			b.Errorf("it ended with %v, want %s", err, want)
		}
		b.stop = func() error { return nil }
	})
}
