package latest_test

import (
	"testing"

	"multinic.dev/executor/internal/latest"
)

func TestTheNewestValueReplacesOneThatNobodyTook(t *testing.T) {
	v := latest.New[int]()
	if got, ok := v.Get(); ok {
		t.Fatalf("there is %d before anything was put", got)
	}
	v.Put(1)
	v.Put(2)
	<-v.Moved()
	for range 2 {
		if got, ok := v.Get(); !ok || got != 2 {
			t.Errorf("got %d, %v, want 2, true", got, ok)
		}
	}
	select {
	case <-v.Moved():
		t.Error("moved twice, but there was nothing new")
	default:
	}
	v.Put(3)
	<-v.Moved()
	v.Put(4)
	if got, _ := v.Get(); got != 4 {
		t.Errorf("got %d, want 4", got)
	}
	select {
	case <-v.Moved():
		t.Error("moved, but the newest was taken already")
	default:
	}
}
