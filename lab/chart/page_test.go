package chart_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTheInstallationPage is right in what the chart can tell: its values are taken and arrive, and its names are the release's.
func TestTheInstallationPage(t *testing.T) {
	page := read(t, "../../docs/install.md")
	values := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(values, []byte(block(t, page, "yaml")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, complaint, failed := helm(t, "template", "multinic", chart, "--namespace=multinic", "--kube-version=1.32.0", "--values="+values)
	if failed {
		t.Fatalf("the chart refuses the values of docs/install.md: %s", complaint)
	}
	deployment := find(t, out, "Deployment", "multinic-dispatcher")
	if got := deployment.text("spec", "template", "spec", "containers", 0, "image"); got != "registry.example/team/multinic-dispatcher:v1" {
		t.Errorf("the dispatcher's image is %s", got)
	}
	executor := find(t, out, "DaemonSet", "multinic-executor")
	if arguments := asList(executor.at("spec", "template", "spec", "containers", 0, "args")); !slices.Contains(arguments, any("--mode=observe")) {
		t.Errorf("the executors are told %q", arguments)
	}
	dispatcher, _, _ := strings.Cut(strings.TrimPrefix(executor.text("spec", "template", "spec", "containers", 0, "args", 0), "--dispatcher="), ":")
	for _, name := range []string{
		"`" + dispatcher + "` here",
		"deployment/" + deployment.text("metadata", "name"), "daemonset/" + executor.text("metadata", "name"),
		"service/" + find(t, out, "Service", "-dispatcher").text("metadata", "name"), "ConfigMap `" + find(t, out, "ConfigMap", "-ca").text("metadata", "name") + "`",
		"create secret generic " + deployment.text("spec", "template", "spec", "volumes", 0, "secret", "secretName") + " --from-file=" +
			deployment.text("spec", "template", "spec", "volumes", 0, "secret", "items", 0, "key") + "=",
	} {
		if !strings.Contains(page, name) {
			t.Errorf("docs/install.md does not say %s", name)
		}
	}
	if sql := block(t, page, "sql"); sql != block(t, read(t, "../../docs/operations.md"), "sql") {
		t.Errorf("docs/install.md and docs/operations.md give the account different rights: the first gives\n%s", sql)
	}
}

// block is the first block of a language in a page.
func block(t *testing.T, page, language string) string {
	t.Helper()
	_, rest, found := strings.Cut(page, "\n```"+language+"\n")
	text, _, closed := strings.Cut(rest, "\n```\n")
	if !found || !closed {
		t.Fatalf("the page has no block of %s", language)
	}

	return text
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	return string(text)
}
