package layout_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"multinic.dev/lab/layout"
)

// TestPureRooms proves that the rooms in which the deciding is done can do nothing else.
func TestPureRooms(t *testing.T) {
	for _, room := range []struct {
		module, pattern string
		neighbours      []string
	}{
		{"dispatcher", "multinic.dev/dispatcher/internal/row", nil},
		{"dispatcher", "multinic.dev/dispatcher/internal/inventory", []string{"multinic.dev/dispatcher/internal/row"}},
		{"executor", "multinic.dev/executor/internal/plan", nil},
		{"executor", "multinic.dev/executor/internal/underlay", []string{"multinic.dev/executor/internal/plan"}},
		{"executor", "multinic.dev/executor/internal/netplan/render", []string{"multinic.dev/executor/internal/plan"}},
		{"executor", "multinic.dev/executor/internal/work", []string{"multinic.dev/executor/internal/plan", "multinic.dev/proto/multinic/v1"}},
	} {
		t.Run(room.pattern, func(t *testing.T) {
			packages, err := layout.Packages(t.Context(), filepath.Join("..", "..", room.module), room.pattern, false)
			if err != nil {
				t.Fatal(err)
			}
			at := slices.IndexFunc(packages, func(one layout.Package) bool { return one.ImportPath == room.pattern })
			if at < 0 || len(packages[at].GoFiles) == 0 {
				t.Fatal("the room is empty: this test proves nothing")
			}
			impurities, err := layout.Impurities(packages[at], room.neighbours)
			if err != nil {
				t.Fatal(err)
			}
			for _, impurity := range impurities {
				t.Error(impurity)
			}
		})
	}
}

// TestImpuritiesAreSeen is the positive control.
func TestImpuritiesAreSeen(t *testing.T) {
	dir := t.TempDir()
	const source = `package room

import (
	"context"
	clock "time"

	"multinic.dev/neighbour"
	"multinic.dev/stranger"
)
`
	const second = `package room

import "time"

func f(t time.Time) time.Duration { return time.Since(t) }

func g(c clock) { c.time.Sleep(time.Second) }
`
	for name, text := range map[string]string{"first.go": source, "second.go": second} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := layout.Impurities(layout.Package{Dir: dir, GoFiles: []string{"first.go", "second.go"}}, []string{"multinic.dev/neighbour"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"first.go imports context",
		"first.go imports time under another name, which hides its clock",
		"first.go imports multinic.dev/stranger",
		"second.go uses time.Since",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}
