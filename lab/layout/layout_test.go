package layout_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"multinic.dev/lab/layout"
)

// databases are the modules and packages through which Go programs talk to a database.
var databases = []string{
	"database/sql",
	"github.com/go-mysql-org", "github.com/go-sql-driver", "github.com/jackc", "github.com/jmoiron", "github.com/lib/pq", "github.com/mattn/go-sqlite3",
	"github.com/siddontang", "gorm.io", "modernc.org/sqlite",
}

// kernels are the modules through which Go programs configure links.
var kernels = []string{"github.com/jsimonetti/rtnetlink", "github.com/mdlayher", "github.com/vishvananda"}

// kubernetes are the modules through which Go programs talk to Kubernetes.
var kubernetes = []string{"k8s.io", "sigs.k8s.io"}

// TestModulesAreApart holds the lines between the modules, by everything that they reach.
func TestModulesAreApart(t *testing.T) {
	for _, rule := range []struct {
		module    string
		says      string
		tests     bool // whether what only its tests reach counts
		graph     bool // whether not even the module graph may name it
		forbidden []string
	}{
		{module: "executor", says: "no node holds a way to the database", tests: true, graph: true, forbidden: databases},
		{module: "executor", says: "no node speaks to Kubernetes", tests: true, graph: true, forbidden: kubernetes},
		{module: "executor", says: "tiers meet in proto alone", tests: true, graph: true, forbidden: []string{"multinic.dev/dispatcher", "multinic.dev/lab"}},
		{module: "dispatcher", says: "tiers meet in proto alone", tests: true, graph: true, forbidden: []string{"multinic.dev/executor", "multinic.dev/lab"}},
		{module: "dispatcher", says: "the dispatcher configures no kernel", forbidden: kernels},
		{module: "proto", says: "the contract needs neither of its parties", tests: true, graph: true, forbidden: []string{
			"multinic.dev/dispatcher", "multinic.dev/executor", "multinic.dev/lab", "multinic.dev/testbed",
		}},
		{module: "testbed", says: "what judges the tiers shares nothing with them", tests: true, graph: true, forbidden: []string{
			"multinic.dev/dispatcher", "multinic.dev/executor", "multinic.dev/lab", "multinic.dev/proto",
		}},
		{module: "testbed", says: "every module's tests use it, the executor's too", tests: true, graph: true, forbidden: databases},
		{module: "lab", says: "the tiers are seen from outside, as programs", tests: true, graph: true, forbidden: []string{
			"multinic.dev/dispatcher", "multinic.dev/executor",
		}},
	} {
		t.Run(rule.module+": "+rule.says, func(t *testing.T) {
			for _, found := range broken(t, filepath.Join("..", "..", rule.module), rule.tests, rule.graph, rule.forbidden) {
				t.Errorf("%s reaches %s", rule.module, found)
			}
		})
	}
}

// TestTrespassesAreSeen is the positive control: a module that does what the rules forbid is caught, whichever way it does it.
func TestTrespassesAreSeen(t *testing.T) {
	const (
		standard = "package probe\n\nimport _ \"database/sql\"\n"
		driver   = "package probe\n\nimport _ \"github.com/go-sql-driver/mysql\"\n"
		indirect = "package probe\n\nimport _ \"multinic.dev/dispatcher\"\n"
		nothing  = "package probe\n"
	)
	for _, trespass := range []struct {
		name, file, source string
		tests, graph       bool
		forbidden          []string
		want               []string
	}{
		{name: "the standard interface", file: "probe.go", source: standard, forbidden: databases, want: []string{"database/sql", "database/sql/driver"}},
		{name: "a driver", file: "probe.go", source: driver, forbidden: databases, want: []string{"github.com/go-sql-driver/mysql"}},
		{name: "a driver behind another package", file: "probe.go", source: indirect, forbidden: databases, want: []string{"github.com/go-sql-driver/mysql"}},
		{name: "the other tier", file: "probe.go", source: indirect, forbidden: []string{"multinic.dev/dispatcher"}, want: []string{"multinic.dev/dispatcher"}},
		{name: "a driver in a test", file: "probe_test.go", source: driver, tests: true, forbidden: databases, want: []string{"github.com/go-sql-driver/mysql"}},
		{name: "a driver in a test, tests not asked for", file: "probe_test.go", source: driver, forbidden: databases},
		{name: "a requirement that nothing imports", file: "probe.go", source: nothing, graph: true, forbidden: databases, want: []string{"github.com/go-sql-driver/mysql"}},
		{name: "nothing", file: "probe.go", source: nothing, tests: true, forbidden: databases},
	} {
		t.Run(trespass.name, func(t *testing.T) {
			got := broken(t, probe(t, trespass.file, trespass.source), trespass.tests, trespass.graph, trespass.forbidden)
			if !slices.Equal(got, trespass.want) {
				t.Errorf("found %q, want %q", got, trespass.want)
			}
		})
	}
}

// broken returns what of forbidden the module in dir reaches.
func broken(t *testing.T, dir string, tests, graph bool, forbidden []string) []string {
	t.Helper()
	packages, err := layout.Packages(t.Context(), dir, "./...", tests)
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) == 0 {
		t.Fatalf("%s has no package: this test proves nothing", dir)
	}
	found := layout.Reached(packages, forbidden)
	if graph {
		modules, err := layout.Modules(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, layout.Below(modules, forbidden)...)
		slices.Sort(found)
		found = slices.Compact(found)
	}

	return found
}

// probe writes a module with one file, which may import a driver and a dispatcher (that imports the driver), both played by
// modules beside it, so that nothing is fetched.
func probe(t *testing.T, file, source string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"driver/go.mod":        "module github.com/go-sql-driver/mysql\n\ngo 1.26.0\n",
		"driver/driver.go":     "package mysql\n",
		"dispatcher/go.mod":    "module multinic.dev/dispatcher\n\ngo 1.26.0\n\nrequire github.com/go-sql-driver/mysql v1.0.0\n",
		"dispatcher/tier.go":   "package tier\n\nimport _ \"github.com/go-sql-driver/mysql\"\n",
		"probe/" + file:        source,
		"probe/unconnected.go": "package probe\n",
		"probe/go.mod": strings.Join([]string{
			"module multinic.dev/probe", "go 1.26.0",
			"require github.com/go-sql-driver/mysql v1.0.0", "require multinic.dev/dispatcher v0.0.0",
			"replace github.com/go-sql-driver/mysql => ../driver", "replace multinic.dev/dispatcher => ../dispatcher",
		}, "\n") + "\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	return filepath.Join(dir, "probe")
}
