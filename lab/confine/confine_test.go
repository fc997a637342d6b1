package confine_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"multinic.dev/lab/confine"
)

// TestTheDocumentationListsWhatIsNeeded and nothing else.
func TestTheDocumentationListsWhatIsNeeded(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## In a container\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var tables, want strings.Builder
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "| `") {
			tables.WriteString(line)
		}
	}
	for _, one := range confine.Capabilities() {
		fmt.Fprintf(&want, "| `%s` | %s |\n", one.Name, one.Why)
	}
	for _, one := range confine.Mounts() {
		fmt.Fprintf(&want, "| `%s` | %s | %s |\n", one.Path, map[bool]string{true: "written", false: "read"}[one.Writable], one.Why)
	}
	if tables.String() != want.String() {
		t.Errorf("docs/operations.md lists, in its section In a container,\n%s\nand should list\n%s", &tables, &want)
	}
}
