package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"

	"multinic.dev/dispatcher/internal/row"
)

// digest is what is remembered of a node's rows.
type digest struct {
	rows int
	bits uint64
}

// add takes one more row in.
func (d *digest) add(bits uint64) {
	d.rows++
	d.bits ^= bits
}

// picture is the rows of nodes and the digests of exactly these rows: both come from one statement, so no change can
// fall between them.
type picture struct {
	rows    map[string][]row.Row
	digests map[string]digest
}

// Reading a node by name looks at the whole table, so names go together: many a statement, yet few enough for its text.
// Where more than some statements would be needed, all rows are read at once, and those not asked for are dropped.
const (
	namesAtOnce   = 500
	mostByName    = 2000
	everyRow      = "TRUE"
	columnsOfARow = 9
)

// digests asks for all nodes' digests.
func (s *Store) digests(ctx context.Context, t *table) (digests map[string]digest, err error) {
	result, err := s.db.QueryContext(ctx, t.digests())
	if err != nil {
		return nil, fmt.Errorf("ask for digests: %w", err)
	}
	defer func() { err = errors.Join(err, result.Close()) }()
	digests = make(map[string]digest)
	for result.Next() {
		var node string
		var one digest
		if err := result.Scan(&node, &one.rows, &one.bits); err != nil {
			return nil, fmt.Errorf("read digests: %w", err)
		}
		digests[node] = one
	}
	if err := result.Err(); err != nil {
		return nil, fmt.Errorf("read digests: %w", err)
	}

	return digests, nil
}

// everything reads the whole table as it is at one moment.
func (s *Store) everything(ctx context.Context, t *table) (picture, error) {
	p := picture{rows: make(map[string][]row.Row), digests: make(map[string]digest)}

	return p, s.read(ctx, t, everyRow, nil, p)
}

// some reads the rows of these nodes. Each node is read whole, as it is at one moment.
func (s *Store) some(ctx context.Context, t *table, nodes map[string]struct{}) (picture, error) {
	if len(nodes) > mostByName {
		p, err := s.everything(ctx, t)
		maps.DeleteFunc(p.rows, func(node string, _ []row.Row) bool { _, asked := nodes[node]; return !asked })
		maps.DeleteFunc(p.digests, func(node string, _ digest) bool { _, asked := nodes[node]; return !asked })
		p.fill(nodes)

		return p, err
	}
	p := picture{rows: make(map[string][]row.Row, len(nodes)), digests: make(map[string]digest, len(nodes))}
	for names := range slices.Chunk(slices.Sorted(maps.Keys(nodes)), namesAtOnce) {
		arguments := make([]any, 0, len(names))
		for _, name := range names {
			arguments = append(arguments, name)
		}
		if err := s.read(ctx, t, t.ofNodes(len(names)), arguments, p); err != nil {
			return p, err
		}
	}
	p.fill(nodes)

	return p, nil
}

// fill says of those nodes that were asked for and have no rows that they have none.
func (p picture) fill(nodes map[string]struct{}) {
	for node := range nodes {
		if _, found := p.rows[node]; !found {
			p.rows[node] = []row.Row{}
		}
	}
}

func (s *Store) read(ctx context.Context, t *table, condition string, arguments []any, p picture) (err error) {
	result, err := s.db.QueryContext(ctx, t.rows(condition), arguments...)
	if err != nil {
		return fmt.Errorf("ask for rows: %w", err)
	}
	defer func() { err = errors.Join(err, result.Close()) }()
	for result.Next() {
		var bits uint64
		one, err := scan(result, &bits)
		if err != nil {
			return fmt.Errorf("read rows: %w", err)
		}
		node := one.Owner()
		p.rows[node] = append(p.rows[node], one)
		sum := p.digests[node]
		sum.add(bits)
		p.digests[node] = sum
	}
	if err := result.Err(); err != nil {
		return fmt.Errorf("read rows: %w", err)
	}

	return nil
}

// scan takes over a row as asRead selects it, and the further value.
func scan(result *sql.Rows, further any) (one row.Row, err error) {
	var columns [columnsOfARow]sql.NullString
	into := []any{&one.ID, &one.Committed, further}
	for i := range columns {
		into = append(into, &columns[i])
	}
	if err := result.Scan(into...); err != nil {
		return row.Row{}, err //nolint:wrapcheck // wrapped by the caller, with what it reads for
	}
	for i, field := range fields(&one) {
		*field = row.Value{Text: columns[i].String, Null: !columns[i].Valid}
	}

	return one, nil
}

// fields are a row's columns in the order in which they are read.
func fields(r *row.Row) [columnsOfARow]*row.Value {
	return [...]*row.Value{&r.Node, &r.MAC, &r.Address, &r.Mask, &r.Gateway, &r.DNS, &r.VLAN, &r.MTU, &r.UpdatedAt}
}
