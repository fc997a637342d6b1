package chart_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestAValueThatIsTakenAwayIsMissedByName is about each value of the chart. Helm takes null, which is what YAML has where nothing follows
// the colon, for the wish to have no such value at all, and not for its default. That is refused by name, unless there may be none.
func TestAValueThatIsTakenAwayIsMissedByName(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(text, &values); err != nil {
		t.Fatal(err)
	}
	template(t, enough()...) // Without any value taken away it is not refused.
	nothing := regexp.MustCompile(`nil>|- "--[a-z-]+="`)
	refused := map[string]bool{}
	for _, path := range paths("", values) {
		t.Run(path, func(t *testing.T) {
			out, complaint, failed := helm(t, append([]string{"template", "fleet", chart, "--kube-version=1.32.0"}, enough(path+"=null")...)...)
			refused[path] = failed
			key := path[strings.LastIndexByte(path, '.')+1:]
			named := strings.Contains(complaint, "missing property '"+key+"'") || strings.Contains(complaint, key+" are both empty")
			switch {
			case failed && !named:
				t.Errorf("it is refused, but not by name: %s", complaint)
			case nothing.MatchString(out):
				t.Errorf("it renders nothing in its place:\n%s", out)
			}
		})
	}
	for _, path := range []string{"audience", "networkPolicy.enabled", "executor.mode", "database", "tls.mode"} {
		if !refused[path] {
			t.Errorf("%s is not missed", path)
		}
	}
}

// paths are those of all values below one.
func paths(below string, values map[string]any) []string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		path := strings.TrimPrefix(below+"."+key, ".")
		all = append(all, path)
		if inner, is := values[key].(map[string]any); is {
			all = append(all, paths(path, inner)...)
		}
	}

	return all
}
