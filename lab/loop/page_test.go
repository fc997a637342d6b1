package loop_test

import (
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	multinicv1 "multinic.dev/proto/multinic/v1"
)

// The tests here hold docs/operations.md to the programs, both ways: what they can be set to and can say is explained there, and what is explained
// there exists.

// section is the text of the page under a heading.
func section(t *testing.T, heading string) string {
	t.Helper()
	whole, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(whole), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("docs/operations.md has no heading %q", heading)
	}
	text, _, _ := strings.Cut(rest, "\n## ")

	return text
}

// cells are the cells of a table's rows, of which the first begins with a word in backticks, or with nothing.
func cells(line string) []string {
	if !strings.HasPrefix(line, "| `") && !strings.HasPrefix(line, "| | `") {
		return nil
	}
	var all []string
	for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
		all = append(all, strings.TrimSpace(cell))
	}

	return all
}

// compare says what two sets differ in.
func compare[V comparable](t *testing.T, what string, code, page map[string]V) {
	t.Helper()
	if len(code) == 0 {
		t.Errorf("%s: nothing was found in the code", what)
	}
	for _, name := range slices.Sorted(maps.Keys(code)) {
		if said, is := page[name]; !is || said != code[name] {
			t.Errorf("%s: %s is there (%v), and docs/operations.md says of it: %t %v", what, name, code[name], is, said)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(page)) {
		if _, is := code[name]; !is {
			t.Errorf("%s: docs/operations.md has %s, and there is no such thing", what, name)
		}
	}
}

// TestThePageHasEachStateAndReason that the protocol has for operators, and no other.
func TestThePageHasEachStateAndReason(t *testing.T) {
	code, explained := map[string]bool{}, map[string]bool{}
	for _, file := range []protoreflect.FileDescriptor{
		multinicv1.File_multinic_v1_work_proto, multinicv1.File_multinic_v1_fleet_proto, multinicv1.File_multinic_v1_dispatch_proto,
	} {
		for i := range file.Enums().Len() {
			enum := file.Enums().Get(i)
			prefix := strings.TrimSuffix(string(enum.Values().Get(0).Name()), "UNSPECIFIED")
			// The first is what is not set.
			for j := 1; j < enum.Values().Len(); j++ {
				code[strings.TrimPrefix(string(enum.Values().Get(j).Name()), prefix)] = true
			}
		}
	}
	word := regexp.MustCompile("^`([A-Z_]+)`$")
	for line := range strings.Lines(section(t, "Looking")) {
		for i, cell := range cells(strings.TrimSpace(line)) {
			if said := word.FindStringSubmatch(cell); said != nil && i < 2 {
				explained[said[1]] = true
			}
		}
	}
	compare(t, "a state, reason or the like", code, explained)
}

// flagOf is a line of --help that begins a flag. A default that is none but says what to write is in capitals.
var flagOf = regexp.MustCompile(`^\s+(?:-h, )?--([a-z-]+)(?:=(\S+))?(?:\s|$)`)

// flags are a program's flags, by name, with their defaults.
func flags(t *testing.T, program string, arguments ...string) map[string]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, append(arguments, "--help")...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s --help: %v: %s", program, err, out)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(out)) {
		said := flagOf.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if said == nil || said[1] == "help" || said[1] == "version" {
			continue
		}
		all[said[1]] = strings.Trim(said[2], `"`)
		if strings.ToUpper(all[said[1]]) == all[said[1]] && strings.ToLower(all[said[1]]) != all[said[1]] {
			all[said[1]] = ""
		}
	}

	return all
}

// TestThePageHasEachFlag of both programs, with its default, and no other.
func TestThePageHasEachFlag(t *testing.T) {
	row := regexp.MustCompile("^`--([a-z-]+)`$")
	for heading, code := range map[string]map[string]string{
		"`multinic-dispatcher`": flags(t, programs.Dispatcher), "`multinic-dispatcher check`": flags(t, programs.Dispatcher, "check"),
		"`multinic-executor`": flags(t, programs.Executor),
	} {
		_, rest, found := strings.Cut(section(t, "Settings"), "**"+heading+"**")
		if !found {
			t.Errorf("the settings have no %s", heading)

			continue
		}
		table, _, _ := strings.Cut(rest, "\n**")
		explained := map[string]string{}
		for line := range strings.Lines(table) {
			if all := cells(strings.TrimSpace(line)); len(all) == 3 {
				if said := row.FindStringSubmatch(all[0]); said != nil {
					explained[said[1]] = strings.Trim(all[1], "`")
				}
			}
		}
		compare(t, "a flag of "+heading, code, explained)
	}
}

// TestNoPageHasAFlagThatThereIsNot among those that are written as such.
func TestNoPageHasAFlagThatThereIsNot(t *testing.T) {
	known := flags(t, programs.Dispatcher)
	maps.Copy(known, flags(t, programs.Dispatcher, "check"))
	maps.Copy(known, flags(t, programs.Executor))
	for _, other := range []string{"help", "version"} {
		known[other] = ""
	}
	written := regexp.MustCompile("`--([a-z-]+)")
	for _, name := range []string{"operations.md", "security.md", "architecture.md"} {
		text, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		found := written.FindAllStringSubmatch(string(text), -1)
		if len(found) == 0 {
			t.Errorf("docs/%s has no flag at all", name)
		}
		for _, said := range found {
			if _, is := known[said[1]]; !is {
				t.Errorf("docs/%s has --%s, and no program does", name, said[1])
			}
		}
	}
}

// TestThePageHasEachMetric that both programs serve, but for those of Go and of the process, and no other.
func TestThePageHasEachMetric(t *testing.T) {
	_, n, _ := running(t, 1)
	// In the node's own network, from which nothing but a program there can ask.
	ask := n.Command(t.Context(), "bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/8081; printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3; cat <&3`)
	executors, err := ask.CombinedOutput()
	if err != nil {
		t.Fatalf("ask the executor for its metrics: %v: %s", err, executors)
	}
	code, explained := map[string]bool{}, map[string]bool{}
	declared := regexp.MustCompile(`(?m)^# TYPE ((?:multinic|grpc)_\S+) `)
	for _, text := range []string{page(t, "/metrics"), string(executors)} {
		for _, said := range declared.FindAllStringSubmatch(text, -1) {
			code[said[1]] = true
		}
	}
	for line := range strings.Lines(section(t, "Metrics")) {
		if all := cells(strings.TrimSpace(line)); all != nil {
			for _, said := range regexp.MustCompile("`([a-z_]+)").FindAllStringSubmatch(all[0], -1) {
				explained[said[1]] = true
			}
		}
	}
	compare(t, "a metric", code, explained)
}
