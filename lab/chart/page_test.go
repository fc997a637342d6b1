package chart_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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

// TestTheDispatchersMemoryIsEnough for as many sessions as it lets in, by the figures that docs/operations.md has of `make bench`.
func TestTheDispatchersMemoryIsEnough(t *testing.T) {
	said := regexp.MustCompile(`(\d+) KiB a node at the process's most, beside (\d+) MiB without any`).FindStringSubmatch(read(t, "../../docs/operations.md"))
	if said == nil {
		t.Fatal("docs/operations.md does not say what a node takes")
	}
	container := find(t, template(t, enough()...), "Deployment", "-dispatcher").at("spec", "template", "spec", "containers", 0)
	sessions := ""
	for _, one := range asList(asMap(container)["args"]) {
		if value, is := strings.CutPrefix(fmt.Sprint(one), "--max-sessions="); is {
			sessions = value
		}
	}
	limit := strings.TrimSuffix(fmt.Sprint(asMap(asMap(asMap(container)["resources"])["limits"])["memory"]), "Mi")
	// What connections without a session take, in MiB: docs/security.md has it of one.
	const others = 50
	if needed := number(t, sessions)*number(t, said[1])/1024 + number(t, said[2]) + others; number(t, limit) < needed {
		t.Errorf("%s sessions need %d MiB, and the limit is %s MiB", sessions, needed, limit)
	}
}

func number(t *testing.T, text string) int {
	t.Helper()
	number, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}

	return number
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
