package session_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"multinic.dev/executor/internal/work"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// outages are the times between the ends and the beginnings of sessions, each of which ends as end says.
func outages(b *bench, count int, end func(*played)) []time.Duration {
	b.Helper()
	b.reports.Put(work.Report{})
	s := b.accept()
	var waits []time.Duration
	for range count {
		s.begin()
		ended := time.Now()
		end(s)
		s = b.accept()
		waits = append(waits, s.opened.Sub(ended))
	}

	return waits
}

func TestWaitsGrowFrom200MillisecondsToTenSeconds(t *testing.T) {
	for chance, want := range map[float64]string{
		0: "[200ms 400ms 800ms 1.6s 3.2s 6.4s 6.666666666s 6.666666666s]",
		1: "[300ms 600ms 1.2s 2.4s 4.8s 9.6s 9.999999999s 9.999999999s]",
	} {
		play(t, chance, func(b *bench) {
			if got := fmt.Sprint(outages(b, 8, func(s *played) { s.end <- status.Error(codes.Unavailable, "no") })); got != want {
				b.Errorf("chance %v: waits %s, want %s", chance, got, want)
			}
			synctest.Wait() // The executor hears of the stream after the dispatcher.
			if connected, reconnects := b.meter.read(); !connected || reconnects != 8 {
				b.Errorf("the meter says connected %v, %d reconnects", connected, reconnects)
			}
		})
	}
}

func TestASessionThatBroughtWorkMakesTheNextWaitAFirstOneAgain(t *testing.T) {
	play(t, 0, func(b *bench) {
		n := 0
		got := outages(b, 4, func(s *played) {
			if n++; n == 3 {
				s.send(workSet(1))
			}
			s.end <- nil
		})
		if want := "[200ms 400ms 200ms 400ms]"; fmt.Sprint(got) != want {
			b.Errorf("waits %v, want %s", got, want)
		}
	})
}

func TestARestartOfTheDispatcherIsAnOrdinaryEnd(t *testing.T) {
	play(t, 0, func(b *bench) {
		got := outages(b, 2, func(s *played) {
			s.send(drain(multinicv1.DrainReason_DRAIN_REASON_SHUTDOWN))
			s.end <- status.Error(codes.Unavailable, "shutting down")
		})
		if want := "[200ms 400ms]"; fmt.Sprint(got) != want {
			b.Errorf("waits %v, want %s", got, want)
		}
	})
}

func TestAReplacedExecutorStaysAwayFor30SecondsOrMore(t *testing.T) {
	for name, end := range map[string]func(*played){
		"Drain": func(s *played) {
			s.send(drain(multinicv1.DrainReason_DRAIN_REASON_REPLACED))
		},
		"ABORTED": func(s *played) { s.end <- status.Error(codes.Aborted, "replaced") },
		"both": func(s *played) {
			s.send(workSet(1))
			s.send(drain(multinicv1.DrainReason_DRAIN_REASON_REPLACED))
			s.end <- status.Error(codes.Aborted, "replaced")
		},
	} {
		for chance, want := range map[float64]string{0: "[30s 30s]", 0.5: "[37.5s 37.5s]"} {
			t.Run(fmt.Sprintf("%s, chance %v", name, chance), func(t *testing.T) {
				play(t, chance, func(b *bench) {
					if got := fmt.Sprint(outages(b, 2, end)); got != want {
						b.Errorf("waits %s, want %s", got, want)
					}
				})
			})
		}
	}
}

func TestEachAttemptThatFailsIsLoggedOnceWithItsCause(t *testing.T) {
	play(t, 0, func(b *bench) {
		b.refuse.Store(true)
		b.reports.Put(work.Report{})
		time.Sleep(1500 * time.Millisecond) // Of the bubble's time: attempts at 0, 0.2, 0.6 and 1.4 s.
		ended := b.logs.FilterMessage("session ended").All()
		if len(ended) != 4 || len(ended) != b.logs.Len() {
			b.Fatalf("logged %v, want 4 times that a session ended", b.logs.All())
		}
		for _, entry := range ended {
			if text := fmt.Sprint(entry.ContextMap()["error"]); !strings.Contains(text, "connection refused") {
				b.Errorf("the cause is missing: %s", text)
			}
		}
	})
}

func TestASilentConnectionIsKept(t *testing.T) {
	play(t, 0, func(b *bench) {
		b.reports.Put(work.Report{})
		s := b.accept()
		s.begin()
		time.Sleep(24 * time.Hour) // Of the bubble's time.
		s.send(workSet(1))
		if set, _ := b.sets.Get(); set.Generation.Number != 1 {
			b.Errorf("the worker has generation %d", set.Generation.Number)
		}
		if _, reconnects := b.meter.read(); reconnects != 0 {
			b.Errorf("%d reconnects", reconnects)
		}
	})
}

func TestADispatcherThatVanishesWithoutAWordIsMissedWithinHalfAMinute(t *testing.T) {
	play(t, 0, func(b *bench) {
		b.reports.Put(work.Report{})
		b.accept().begin()
		b.mute.Store(true)
		time.Sleep(31 * time.Second) // Of the bubble's time.
		if connected, _ := b.meter.read(); connected {
			b.Error("it still counts as connected")
		}
		b.mute.Store(false)
		b.accept().begin()
	})
}
