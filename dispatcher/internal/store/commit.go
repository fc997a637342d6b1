package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-sql-driver/mysql"

	"multinic.dev/dispatcher/internal/row"
)

// commitWithin is how long after the call of Commit a row may still be changed. A verification gets old: later than
// this, the caller proves it anew.
const commitWithin = 4 * time.Second

// Commit turns netplan_success over in those of rows that are, this moment, what they were when they were read: same id, node,
// content, flag and updated_at, byte for byte and NULL for NULL, not deleted. A row that was read as committed becomes 0, any
// other becomes 1. It says for each of rows, in their order, whether it was set; what was not set is as it was, and is to be
// read anew. A row with another number than 1, or with NULL, waits to become 1 like one with 0.
//
// What was set is made to last only if confirm, which is asked while the rows are locked and nobody can change them any more,
// says so of each; what it does not confirm is left as it was. It gets a part of rows, and must answer soon. Nil confirms all.
//
// After an error nothing was set, unless the connection broke during the very commit: then the table says which (a
// *SetupError is an error that does not pass by itself). What would be set later than four seconds after the call, by the
// server's clock or by ours, is not set: so it is with a server that stood still for a while and goes on with what was sent
// before. A row that somebody else has locked is not waited for, and not set.
func (s *Store) Commit(ctx context.Context, rows []row.Row, confirm func(rows []row.Row) []bool) (committed []bool, err error) {
	committed = make([]bool, len(rows))
	if len(rows) == 0 {
		return committed, nil
	}
	if confirm == nil {
		confirm = func(rows []row.Row) []bool { return slices.Repeat([]bool{true}, len(rows)) }
	}
	c := &commit{rows: rows, confirm: confirm, deadline: time.Now().Add(commitWithin)}
	if c.table, err = s.current(ctx); err != nil {
		return committed, err
	}
	for again := true; again && err == nil; {
		again, err = c.attempt(ctx, s.db)
	}
	if err != nil {
		// It may be another server by now, or one that takes no writes any more: the next poll finds out.
		s.table.Store(nil)

		return committed, s.explain(err)
	}
	for _, i := range c.set {
		committed[i] = true
	}

	return committed, nil
}

// commit is one call of Commit.
type commit struct {
	table    *table
	rows     []row.Row
	confirm  func(rows []row.Row) []bool
	deadline time.Time

	// withdrawn are the places of rows that were not confirmed, set those of the rows that were set in the last attempt.
	withdrawn map[int]bool
	set       []int
}

// attempt sets what can be set, in one transaction. If some of it is not confirmed, nothing of it lasts, and it is to be
// tried again without that.
func (c *commit) attempt(ctx context.Context, db *sql.DB) (again bool, err error) {
	transaction, err := db.BeginTx(ctx, c.table.writing())
	if err != nil {
		return false, fmt.Errorf("begin a commit: %w", err)
	}
	// It fails only where the connection broke, and then the server rolls back; after a commit it does nothing.
	defer func() { _ = transaction.Rollback() }()
	until, err := serverDeadline(ctx, transaction, c.deadline)
	if err != nil {
		return false, err
	}
	if err := c.compareAndSet(ctx, transaction, until); err != nil || len(c.set) == 0 {
		return false, err
	}
	set := make([]row.Row, 0, len(c.set))
	for _, i := range c.set {
		set = append(set, c.rows[i])
	}
	for at, confirmed := range c.confirm(set) {
		if !confirmed {
			if c.withdrawn == nil {
				c.withdrawn = make(map[int]bool)
			}
			c.withdrawn[c.set[at]] = true
			again = true
		}
	}
	switch {
	case again:
		c.set = nil

		return true, nil
	case time.Now().After(c.deadline):
		c.set = nil

		return false, nil
	}
	if err := transaction.Commit(); err != nil {
		return false, fmt.Errorf("commit: %w", err)
	}

	return false, nil
}

// writing are the options of a transaction that writes. The table's writer must not wait for gaps between rows, which
// REPEATABLE READ locks: it is the exception, since a log of statements does not allow READ COMMITTED.
func (t *table) writing() *sql.TxOptions {
	if t.logged {
		return &sql.TxOptions{Isolation: sql.LevelRepeatableRead}
	}

	return &sql.TxOptions{Isolation: sql.LevelReadCommitted}
}

// serverDeadline says what the server's clock will show, at the latest, at the deadline of ours. The reply is as old as it
// may be: had the server stood still before it came here, the result lies in the past, and nothing will be set.
func serverDeadline(ctx context.Context, transaction *sql.Tx, deadline time.Time) (int64, error) {
	var now int64
	if err := transaction.QueryRowContext(ctx, "SELECT "+serverTime).Scan(&now); err != nil {
		return 0, fmt.Errorf("ask for the server's time: %w", err)
	}

	return now + time.Until(deadline).Microseconds(), nil
}

// compareAndSet sets rows in the order of their ids, in which their writer goes through them too: in any other order, each
// could wait for the other.
func (c *commit) compareAndSet(ctx context.Context, transaction *sql.Tx, until int64) (err error) {
	statements := map[success]*sql.Stmt{}
	defer func() {
		for _, statement := range statements {
			err = errors.Join(err, statement.Close())
		}
	}()
	c.set = nil
	for _, i := range c.order() {
		if time.Now().After(c.deadline) {
			return nil
		}
		to := success(!c.rows[i].Committed)
		if statements[to] == nil {
			statement, err := c.table.prepare(ctx, transaction, to) //nolint:sqlclosecheck // closed with all of statements
			if err != nil {
				return err
			}
			statements[to] = statement
		}
		done, err := c.table.set(ctx, transaction, statements[to], to, c.table.arguments(c.rows[i], until))
		switch {
		case isLocked(err) && !c.table.undone:
			// Somebody is about to change it. The statement alone is undone.
		case err != nil:
			return fmt.Errorf("set netplan_success of row %d: %w", c.rows[i].ID, err)
		case done:
			c.set = append(c.set, i)
		}
	}

	return nil
}

// order are the places of the rows that are to be set, by id.
func (c *commit) order() []int {
	order := make([]int, 0, len(c.rows))
	for i := range c.rows {
		if !c.withdrawn[i] {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(c.rows[a].ID, c.rows[b].ID) })

	return order
}

// isLocked says whether an error tells that a row was locked by somebody else.
func isLocked(err error) bool {
	const lockWaitTimeout = 1205
	var refused *mysql.MySQLError

	return errors.As(err, &refused) && refused.Number == lockWaitTimeout
}

// prepare prepares the statement by which rows are compared, and set where the log allows it.
func (t *table) prepare(ctx context.Context, transaction *sql.Tx, to success) (*sql.Stmt, error) {
	text := t.commit(to)
	if t.logged {
		text = t.hold(to)
	}
	statement, err := transaction.PrepareContext(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("prepare to set netplan_success: %w", err)
	}

	return statement, nil
}

// set compares and sets a row.
func (t *table) set(ctx context.Context, transaction *sql.Tx, statement *sql.Stmt, to success, arguments []any) (bool, error) {
	if t.logged {
		return setHeldRow(ctx, transaction, statement, to, arguments)
	}

	return setCompared(ctx, statement, arguments)
}

// setCompared compares and sets a row in one statement.
func setCompared(ctx context.Context, commit *sql.Stmt, arguments []any) (bool, error) {
	result, err := commit.ExecContext(ctx, arguments...)
	if err != nil {
		return false, err //nolint:wrapcheck // wrapped by the caller, with the row
	}
	found, err := result.RowsAffected()

	return found == 1, err //nolint:wrapcheck // wrapped by the caller, with the row
}

// setHeldRow compares and locks a row, then sets it: the clock that is asked in the comparison is another one where the log's
// statements are executed again, and later.
func setHeldRow(ctx context.Context, transaction *sql.Tx, hold *sql.Stmt, to success, arguments []any) (bool, error) {
	var id int64
	switch err := hold.QueryRowContext(ctx, arguments...).Scan(&id); {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, err //nolint:wrapcheck // wrapped by the caller, with the row
	}
	_, err := transaction.ExecContext(ctx, setHeld(to), id)

	return err == nil, err //nolint:wrapcheck // wrapped by the caller, with the row
}

// arguments are those of asRead: columns that the table has not are not compared.
func (t *table) arguments(one row.Row, until int64) []any {
	arguments := []any{one.ID}
	expressions := t.columns()
	for i, field := range fields(&one) {
		if expressions[i] != "" {
			arguments = append(arguments, sql.NullString{String: field.Text, Valid: !field.Null})
		}
	}

	return append(arguments, until)
}
