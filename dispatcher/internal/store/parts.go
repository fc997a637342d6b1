package store

import (
	"errors"
	"slices"

	"github.com/go-sql-driver/mysql"

	"multinic.dev/dispatcher/internal/row"
)

// rowsAtOnce is how many rows go into one statement: enough that a row costs little, few enough for the text of the
// statement, and for MariaDB to look each id up: it makes a subquery, and perhaps a scan, of lists of a thousand.
const rowsAtOnce = 500

// inParts does something to all rows, part by part, by one statement for each part. Rows that somebody else has locked are
// passed over: where a statement was refused for one of them, the part is halved until only such rows are left. (SKIP LOCKED
// is nothing to build on: MariaDB has it since 10.6 alone, and 10.11 ends a transaction that does not wait for locks, as ours
// do not, with the error 1180 when it has skipped a row. Nor could an UPDATE have it.)
func (c *commit) inParts(rows []row.Row, do func(part []row.Row) error) error {
	for part := range slices.Chunk(rows, rowsAtOnce) {
		if c.late() {
			return nil // Nothing of it will last.
		}
		if err := c.halving(part, do); err != nil {
			return err
		}
	}

	return nil
}

func (c *commit) halving(rows []row.Row, do func(part []row.Row) error) error {
	err := do(rows)
	switch {
	case !isLocked(err) || c.table.undone || c.late():
		return err
	case len(rows) == 1:
		return nil // Somebody is about to change it. The statement alone is undone.
	}
	half := len(rows) / 2
	if err := c.halving(rows[:half], do); err != nil {
		return err
	}

	return c.halving(rows[half:], do)
}

// isLocked says whether an error tells that a row was locked by somebody else.
func isLocked(err error) bool {
	const lockWaitTimeout = 1205
	var refused *mysql.MySQLError

	return errors.As(err, &refused) && refused.Number == lockWaitTimeout
}
