package store

import (
	"context"
	"maps"
	"slices"
	"time"
)

// Waits between attempts while the database does not answer: soon enough that a restart is hardly noticed, rare enough
// to cost a struggling server nothing.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// Follow polls the table until ctx ends, and returns ctx's error then, and only then. Between the beginnings of two polls
// lies the interval, or twice the time that the first of them took, if that is longer. The first picture has every row of
// every node; after that, a node is read anew when its digest is another than that of the rows last handed over, so that
// nothing is lost however long the database was away. Errors of the database go to the follower, and Follow goes on, at
// growing distances of up to five seconds. The columns are read anew after each error: what answers then may be another server.
func (s *Store) Follow(ctx context.Context, interval time.Duration, follower Follower) error {
	p := poll{store: s, follower: follower}
	for retry := firstRetry; ctx.Err() == nil; {
		began := time.Now()
		err := p.once(ctx)
		took := time.Since(began)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			s.table.Store(nil)
			follower.Failed(s.explain(err))
			wait(ctx, retry)
			retry = min(2*retry, lastRetry)
		default:
			follower.Polled(began)
			retry = firstRetry
			wait(ctx, max(interval-took, took))
		}
	}

	return ctx.Err() //nolint:wrapcheck // the caller's own
}

// wait returns after the duration, or when ctx ends.
func wait(ctx context.Context, duration time.Duration) {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// poll is what Follow knows: the digests of the rows that it handed over last.
type poll struct {
	store    *Store
	follower Follower
	// known is nil until the first picture.
	known map[string]digest
}

// once looks at all nodes' digests, or at all rows if none were handed over yet, and at the nodes that were asked for.
func (p *poll) once(ctx context.Context) error {
	t, err := p.store.current(ctx)
	if err != nil {
		return err
	}
	asked := p.store.takeReread()
	if p.known == nil {
		all, err := p.store.everything(ctx, t)
		if err != nil {
			p.store.Reread(keys(asked)...)

			return err
		}
		all.fill(asked)
		p.known = all.digests
		p.follower.Changed(Change{Full: true, Nodes: all.rows})

		return nil
	}
	now, err := p.store.digests(ctx, t)
	if err != nil {
		p.store.Reread(keys(asked)...)

		return err
	}
	for node, digest := range now {
		if before, found := p.known[node]; !found || before != digest {
			asked[node] = struct{}{}
		}
	}
	for node := range p.known {
		if _, found := now[node]; !found {
			asked[node] = struct{}{}
		}
	}

	return p.hand(ctx, t, asked)
}

// hand reads nodes and hands them over; on failure they are asked for again.
func (p *poll) hand(ctx context.Context, t *table, nodes map[string]struct{}) error {
	if len(nodes) == 0 {
		return nil
	}
	some, err := p.store.some(ctx, t, nodes)
	if err != nil {
		p.store.Reread(keys(nodes)...)

		return err
	}
	for node := range nodes {
		if digest, found := some.digests[node]; found {
			p.known[node] = digest
		} else {
			delete(p.known, node)
		}
	}
	p.follower.Changed(Change{Nodes: some.rows})

	return nil
}

func keys(nodes map[string]struct{}) []string {
	return slices.Collect(maps.Keys(nodes))
}
