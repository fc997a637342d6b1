package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"multinic.dev/dispatcher/internal/row"
)

// commitWithin is how long after the call of Commit a row may still be changed. A verification gets old: later than
// this, the caller proves it anew.
const commitWithin = 4 * time.Second

// Commit flips netplan_success in those of rows that are, this moment, what they were when they were read: same id, node,
// content, Committed and updated_at, byte for byte and NULL for NULL, and not deleted. A row whose Committed is false becomes 1,
// from any other number and from NULL; one whose Committed is true becomes 0. It says for each of rows, in their order, whether
// it was flipped; what was not flipped is as it was, and is to be read anew. Of equal rows it is the first.
//
// What was flipped is made to last only if confirm, which is asked once while the rows are locked and nobody can change them
// any more, says so of each; what it does not confirm is left as it was. It gets a part of rows, and must answer soon. Nil
// confirms all.
//
// After an error nothing was flipped, unless the connection broke during the very commit: then the table says which (a
// *SetupError is an error that does not pass by itself). What would be flipped later than four seconds after the call, by the
// server's clock or by ours, is not: so it is with a server that stood still for a while and goes on with what was sent
// before. A row that somebody else has locked is not waited for, and not flipped.
func (s *Store) Commit(ctx context.Context, rows []row.Row, confirm func(rows []row.Row) []bool) (flipped []bool, err error) {
	flipped = make([]bool, len(rows))
	if len(rows) == 0 {
		return flipped, nil
	}
	deadline := time.Now().Add(commitWithin)
	t, err := s.current(ctx)
	if err != nil {
		return flipped, err
	}
	c := &commit{table: t, places: places(rows), confirm: confirm, deadline: deadline}
	lasting, err := c.attempt(ctx, s.db)
	if err != nil {
		// It may be another server by now, or one that takes no writes any more: the next poll finds out.
		s.table.Store(nil)

		return flipped, s.explain(err)
	}
	for _, one := range lasting {
		flipped[c.places[one]] = true
	}

	return flipped, nil
}

// places are the rows, and where each of them is found first.
func places(rows []row.Row) map[row.Row]int {
	places := make(map[row.Row]int, len(rows))
	for i, one := range rows {
		if _, found := places[one]; !found {
			places[one] = i
		}
	}

	return places
}

// commit is one call of Commit.
type commit struct {
	table    *table
	places   map[row.Row]int
	confirm  func(rows []row.Row) []bool
	deadline time.Time
}

// late says whether it is too late to change anything, by our clock.
func (c *commit) late() bool { return time.Now().After(c.deadline) }

// attempt flips what can be flipped, in one transaction, and returns it.
func (c *commit) attempt(ctx context.Context, db *sql.DB) (flipped []row.Row, err error) {
	transaction, err := db.BeginTx(ctx, c.table.writing())
	if err != nil {
		return nil, fmt.Errorf("begin a commit: %w", err)
	}
	// It fails only where the connection broke, and then the server rolls back; after a commit it does nothing.
	defer func() { _ = transaction.Rollback() }()
	held, err := c.hold(ctx, transaction)
	if err != nil {
		return nil, err
	}
	if flipped, err = c.flip(ctx, transaction, c.confirmed(held)); err != nil || len(flipped) == 0 || c.late() {
		return nil, err
	}
	if err := transaction.Commit(); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}

	return flipped, nil
}

// writing are the options of a transaction that writes. The table's writer must not wait for gaps between rows, which
// REPEATABLE READ locks: it is the exception, since a log of statements does not allow READ COMMITTED.
func (t *table) writing() *sql.TxOptions {
	if t.logged {
		return &sql.TxOptions{Isolation: sql.LevelRepeatableRead}
	}

	return &sql.TxOptions{Isolation: sql.LevelReadCommitted}
}

// hold locks the rows, and returns those that are as they were read, once they were locked in time.
func (c *commit) hold(ctx context.Context, transaction *sql.Tx) (held []row.Row, err error) {
	until, err := serverDeadline(ctx, transaction, c.deadline)
	if err != nil {
		return nil, err
	}
	err = c.inParts(c.eachID(), func(part []row.Row) error {
		found, err := c.holdPart(ctx, transaction, until, part)
		held = append(held, found...)

		return err
	})

	return held, err
}

// serverDeadline says what the server's clock will show, at the latest, at the deadline of ours. The reply is as old as it
// may be: had the server stood still before it came here, the result lies in the past, and nothing will be flipped.
func serverDeadline(ctx context.Context, transaction *sql.Tx, deadline time.Time) (int64, error) {
	var now int64
	if err := transaction.QueryRowContext(ctx, "SELECT "+serverTime).Scan(&now); err != nil {
		return 0, fmt.Errorf("ask for the server's time: %w", err)
	}

	return now + time.Until(deadline).Microseconds(), nil
}

// eachID are the rows, one of each id, in order: so a part of them is a stretch of the table.
func (c *commit) eachID() []row.Row {
	rows := make([]row.Row, 0, len(c.places))
	for one := range c.places {
		rows = append(rows, one)
	}
	slices.SortFunc(rows, func(a, b row.Row) int { return cmp.Compare(a.ID, b.ID) })

	return slices.CompactFunc(rows, func(a, b row.Row) bool { return a.ID == b.ID })
}

// holdPart locks rows by one statement. What is read here goes through the same expressions and the same code as what was
// read before, so that two equal rows are the same row, byte for byte.
func (c *commit) holdPart(ctx context.Context, transaction *sql.Tx, until int64, part []row.Row) (held []row.Row, err error) {
	fail := func(err error) error {
		return fmt.Errorf("lock rows from %d to %d: %w", part[0].ID, part[len(part)-1].ID, err)
	}
	result, err := transaction.QueryContext(ctx, c.table.hold(ids(part)))
	if err != nil {
		return nil, fail(err)
	}
	defer func() { _ = result.Close() }() // it ends with an error of its own where it was not read to its end
	for result.Next() {
		var lockedAt int64
		now, err := scan(result, &lockedAt)
		if err != nil {
			return nil, fail(err)
		}
		if _, asRead := c.places[now]; asRead && lockedAt <= until {
			held = append(held, now)
		}
	}
	if err := result.Err(); err != nil {
		return nil, fail(err)
	}

	return held, nil
}

// confirmed asks which of the rows that are held are to be flipped still.
func (c *commit) confirmed(held []row.Row) []row.Row {
	if len(held) == 0 || c.confirm == nil {
		return held
	}
	var confirmed []row.Row
	for i, yes := range c.confirm(held) {
		if yes {
			confirmed = append(confirmed, held[i])
		}
	}

	return confirmed
}

// flip flips rows that are held, and returns those that were. One that was not is held up by a lock on what is no row: on a
// gap in an index that has the flag.
func (c *commit) flip(ctx context.Context, transaction *sql.Tx, held []row.Row) (flipped []row.Row, err error) {
	var ones, zeros []row.Row
	for _, one := range held {
		if one.Committed {
			ones = append(ones, one)
		} else {
			zeros = append(zeros, one)
		}
	}
	for _, to := range []struct {
		flag string
		rows []row.Row
	}{{"0", ones}, {"1", zeros}} {
		err := c.inParts(to.rows, func(part []row.Row) error {
			if err := setPart(ctx, transaction, to.flag, part); err != nil {
				return err
			}
			flipped = append(flipped, part...)

			return nil
		})
		if err != nil {
			return nil, err
		}
	}

	return flipped, nil
}

// setPart sets the flag of rows by one statement. All of them are held, so it finds exactly these; were there others with
// the same ids, nobody would have compared them.
func setPart(ctx context.Context, transaction *sql.Tx, flag string, part []row.Row) error {
	fail := func(err error) error {
		return fmt.Errorf("set netplan_success = %s of rows from %d to %d: %w", flag, part[0].ID, part[len(part)-1].ID, err)
	}
	result, err := transaction.ExecContext(ctx, set(flag, ids(part)))
	if err != nil {
		return fail(err)
	}
	found, err := result.RowsAffected()
	switch {
	case err != nil:
		return fail(err)
	case found != int64(len(part)):
		return &SetupError{Message: fmt.Sprintf("the table %s has %d rows for %d ids between %d and %d: make id its primary key",
			interfaces, found, len(part), part[0].ID, part[len(part)-1].ID)}
	}

	return nil
}

func ids(rows []row.Row) []int64 {
	ids := make([]int64, 0, len(rows))
	for _, one := range rows {
		ids = append(ids, one.ID)
	}

	return ids
}
