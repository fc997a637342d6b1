package layout_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEveryCommandOfTheREADMEIsRun proves that each code block of the README carries a mark by which .ci/run finds it, and that
// .ci/run does run the block of each mark. So nothing is printed for newcomers that nobody tried.
func TestEveryCommandOfTheREADMEIsRun(t *testing.T) {
	readme := strings.Split(read(t, "README.md"), "\n")
	script := read(t, ".ci/run")
	mark := regexp.MustCompile(`^<!-- ci:([a-z]+) -->$`)

	inside, seen := false, map[string]bool{}
	for number, line := range readme {
		if !strings.HasPrefix(line, "```") {
			continue
		}
		inside = !inside
		if !inside {
			continue
		}
		found := mark.FindStringSubmatch(readme[max(0, number-1)])
		if found == nil {
			t.Errorf("README.md:%d: a block that no <!-- ci:NAME --> line precedes", number+1)

			continue
		}
		name := found[1]
		if seen[name] {
			t.Errorf("README.md:%d: a second block ci:%s, of which .ci/run sees only the first", number+1, name)
		}
		seen[name] = true
		for _, want := range []string{
			`(?m)^` + name + `=\$\(readme ` + name + `\)$`,
			`(?m)^(stage '[^']+'|run) "\$` + name + `"$`,
		} {
			if !regexp.MustCompile(want).MatchString(script) {
				t.Errorf("README.md:%d: .ci/run has no line %s", number+1, want)
			}
		}
	}
	if !seen["demo"] || !seen["test"] {
		t.Errorf("the README has the blocks %v, which lack demo or test", seen)
	}
}

// read returns the text of one file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}

	return string(text)
}
