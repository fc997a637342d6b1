package monitor

import (
	"slices"
	"strings"
)

// Places are the links that have an IPv4 address, by the address with its prefix length.
type Places map[string][]string

// Follow has them become what events tell, and returns the addresses that were on several links at a time.
func (p Places) Follow(events []Event) (twice []string) {
	for _, e := range events {
		if !strings.HasPrefix(e.Kind, "address ") || strings.Contains(e.Text, ":") {
			continue
		}
		p[e.Text] = slices.DeleteFunc(p[e.Text], func(link string) bool { return link == e.Link })
		if e.Kind == "address new" {
			p[e.Text] = append(p[e.Text], e.Link)
		}
		if len(p[e.Text]) > 1 && !slices.Contains(twice, e.Text) {
			twice = append(twice, e.Text)
		}
	}
	return twice
}
