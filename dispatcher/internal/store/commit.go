package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"multinic.dev/dispatcher/internal/row"
)

// commitWithin is how long after the call of Commit a row may still be changed. A verification gets old: later than
// this, the caller proves it anew.
const commitWithin = 4 * time.Second

// Commit sets netplan_success = 1 in those of rows that are, this moment, what they were when they were read: same id,
// node, content and updated_at, byte for byte and NULL for NULL, not deleted, and not 1 already. It says for each of rows,
// in their order, whether it was set; what was not set is as it was, and is to be read anew. A row with another number than
// 1, or with NULL, waits to become 1 like one with 0.
//
// All happens in one transaction; after an error nothing was set, unless the connection broke during the very commit: then
// the table says which (a *SetupError is an error that does not pass by itself). A row that the server would come to later
// than four seconds after the call, by its own clock, is not set: so it is with a server that stood still for a while and
// goes on with what was sent before. Rows locked by somebody else are waited for, two seconds each at most, then the
// commit fails. After a success, the nodes of rows are read anew with the next poll.
func (s *Store) Commit(ctx context.Context, rows []row.Row) (committed []bool, err error) {
	committed = make([]bool, len(rows))
	if len(rows) == 0 {
		return committed, nil
	}
	deadline := time.Now().Add(commitWithin)
	t, err := s.current(ctx)
	if err != nil {
		return committed, err
	}
	if err := s.commit(ctx, t, rows, deadline, committed); err != nil {
		clear(committed)
		if outdated(err) {
			s.table.Store(nil)
		}

		return committed, s.explain(err)
	}
	s.look(rows)

	return committed, nil
}

// look has the nodes of rows read with the next poll, without haste. A flag that somebody sets back before that poll would
// otherwise leave everything as the poll before saw it, and never be noticed.
func (s *Store) look(rows []row.Row) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range rows {
		s.reread[one.Node.Text] = struct{}{}
	}
}

func (s *Store) commit(ctx context.Context, t *table, rows []row.Row, deadline time.Time, committed []bool) (err error) {
	transaction, err := s.db.BeginTx(ctx, t.writing())
	if err != nil {
		return fmt.Errorf("begin a commit: %w", err)
	}
	defer func() {
		if err != nil {
			_ = transaction.Rollback() // It fails only where the connection broke, and then the server rolls back.
		}
	}()
	until, err := serverDeadline(ctx, transaction, deadline)
	if err != nil {
		return err
	}
	if err := set(ctx, transaction, t, rows, until, committed); err != nil {
		return err
	}
	if err := transaction.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}

	return nil
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

// set does the compare-and-set of all rows, in the order of their ids, in which their writer goes through them too: in
// any other order, each could wait for the other.
func set(ctx context.Context, transaction *sql.Tx, t *table, rows []row.Row, until int64, committed []bool) (err error) {
	one := setCompared
	text := t.commit()
	if t.logged {
		one, text = setHeldRow, t.hold()
	}
	statement, err := transaction.PrepareContext(ctx, text)
	if err != nil {
		return fmt.Errorf("prepare to set netplan_success: %w", err)
	}
	defer func() { err = errors.Join(err, statement.Close()) }()
	order := make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rows[a].ID, rows[b].ID) })
	for _, i := range order {
		if committed[i], err = one(ctx, transaction, statement, t.arguments(rows[i], until)); err != nil {
			return fmt.Errorf("set netplan_success of row %d: %w", rows[i].ID, err)
		}
	}

	return nil
}

// setCompared compares and sets a row in one statement.
func setCompared(ctx context.Context, _ *sql.Tx, commit *sql.Stmt, arguments []any) (bool, error) {
	result, err := commit.ExecContext(ctx, arguments...)
	if err != nil {
		return false, err //nolint:wrapcheck // wrapped by the caller, with the row
	}
	found, err := result.RowsAffected()

	return found == 1, err //nolint:wrapcheck // wrapped by the caller, with the row
}

// setHeldRow compares and locks a row, then sets it: the clock that is asked in the comparison is another one where the log's
// statements are executed again, and later.
func setHeldRow(ctx context.Context, transaction *sql.Tx, hold *sql.Stmt, arguments []any) (bool, error) {
	var id int64
	switch err := hold.QueryRowContext(ctx, arguments...).Scan(&id); {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, err //nolint:wrapcheck // wrapped by the caller, with the row
	}
	_, err := transaction.ExecContext(ctx, setHeld, id)

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
