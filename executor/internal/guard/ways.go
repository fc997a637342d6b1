package guard

import (
	"context"
	"time"

	"multinic.dev/executor/internal/plan"
)

// freshFor is how long the targets that Ways has found are taken to be the same: finding them may take a second.
const freshFor = 30 * time.Second

// Ways are the ways to those whom the node must go on reaching, by IPv4. Not safe for concurrent use.
func (g *Guard) Ways(ctx context.Context) ([]plan.Way, error) {
	if g.found.IsZero() || time.Since(g.found) > freshFor {
		g.targets, g.found = g.Targets(ctx), time.Now()
	}
	var ways []plan.Way
	for _, target := range g.targets {
		if !target.Address.Is4() {
			continue
		}
		path, err := g.Kernel.Lookup(target.Address)
		if err != nil {
			return nil, err
		}
		if path != (plan.Path{}) {
			ways = append(ways, plan.Way{Name: target.Name, Address: target.Address, Path: path})
		}
	}

	return ways, nil
}
