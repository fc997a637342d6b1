package retry_test

import (
	"fmt"
	"testing"
	"time"

	"multinic.dev/executor/internal/retry"
)

func TestWaitsDoubleUpToTheLastAndBeginAnew(t *testing.T) {
	for chance, want := range map[float64]string{
		0: "[1s 2s 4s 6s 6s 1s]",
		1: "[1.5s 3s 6s 9s 9s 1.5s]",
	} {
		waits := retry.New(time.Second, 9*time.Second, func() float64 { return chance })
		var got []time.Duration
		for range 5 {
			got = append(got, waits.Next())
		}
		waits.Reset()
		got = append(got, waits.Next())
		if fmt.Sprint(got) != want {
			t.Errorf("chance %v: %v, want %s", chance, got, want)
		}
	}
}
