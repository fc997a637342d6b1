package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// inspect reads the table's columns and proves the account's rights on one connection. On success the table is the one
// that all later statements are about.
func (s *Store) inspect(ctx context.Context) (*table, error) {
	connection, err := s.db.Conn(ctx)
	if err != nil {
		return nil, s.explain(err)
	}
	defer func() { _ = connection.Close() }() // back to the pool; what failed was said by what was asked on it

	found, err := s.inspectOn(ctx, connection)
	if err != nil {
		return nil, s.explain(err)
	}
	s.table.Store(found)

	return found, nil
}

func (s *Store) inspectOn(ctx context.Context, connection *sql.Conn) (*table, error) {
	var account, format string
	var readOnly, undone bool
	if err := connection.QueryRowContext(ctx, "SELECT CURRENT_USER(), "+isReadOnly+", IF(@@global.log_bin, @@global.binlog_format, ''),"+
		" CAST(@@global.innodb_rollback_on_timeout AS CHAR) IN ('1', 'ON')").Scan(&account, &readOnly, &format, &undone); err != nil {
		return nil, fmt.Errorf("ask for the server's settings: %w", err)
	}
	s.account.Store(account)
	if readOnly {
		return nil, s.readOnly(nil)
	}
	// Of all columns: information_schema hides those that the account may not read, and a hidden deleted_at would make all
	// deleted rows living ones.
	all := "SELECT * FROM " + interfaces + " WHERE FALSE" //nolint:unqueryvet // It is the right to all of them that is asked for.
	if err := ask(ctx, connection, all); err != nil {
		return nil, err
	}
	columns, err := s.columns(ctx, connection)
	if err != nil {
		return nil, err
	}
	found, missing := arrange(columns)
	if missing.what != "" {
		remedy := fmt.Sprintf("alter the table, or set --db-name (now %s) to the database that has the right one", s.config.Database)
		if missing.hidden != "" {
			remedy += ", or " + s.grant(missing.hidden)
		}

		return nil, &SetupError{Message: oneLine(missing.what + ": " + remedy)}
	}
	if err := s.transactional(ctx, connection); err != nil {
		return nil, err
	}
	found.logged, found.undone = format == "STATEMENT", undone
	if err := ask(ctx, connection, found.rows("FALSE")); err != nil {
		return nil, err
	}

	return found, mayWrite(ctx, connection, found)
}

// transactional refuses a table whose rows cannot be locked: they could change between being compared and being set. What
// stands behind a view is not asked for.
func (s *Store) transactional(ctx context.Context, connection *sql.Conn) error {
	var engine string
	err := connection.QueryRowContext(ctx, "SELECT e.engine FROM information_schema.tables AS t JOIN information_schema.engines AS e ON e.engine = t.engine"+
		" WHERE t.table_schema = DATABASE() AND t.table_name = '"+interfaces+"' AND e.transactions = 'NO'").Scan(&engine)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("ask for the engine of %s: %w", interfaces, err)
	}

	return &SetupError{Message: fmt.Sprintf("the table %s is kept by the engine %s, which cannot lock rows: ALTER TABLE %s.%s ENGINE = InnoDB",
		interfaces, engine, quoted(s.config.Database, "`"), interfaces)}
}

// isReadOnly is a server's read_only, which is a number or a word: other words than OFF do not allow to write either.
const isReadOnly = "CAST(@@global.read_only AS CHAR) NOT IN ('0', 'OFF')"

// mayWrite proves that the flag may be set and rows may be locked, in a transaction like that of a commit, by doing it to no row.
func mayWrite(ctx context.Context, connection *sql.Conn, t *table) error {
	transaction, err := connection.BeginTx(ctx, t.writing())
	if err != nil {
		return fmt.Errorf("begin to ask for the right to write: %w", err)
	}
	defer func() { _ = transaction.Rollback() }() // there is nothing in it
	for _, statement := range []string{
		"UPDATE " + interfaces + " SET netplan_success = 1 WHERE FALSE",
		"SELECT id FROM " + interfaces + " WHERE FALSE FOR UPDATE",
	} {
		if _, err := transaction.ExecContext(ctx, statement); err != nil {
			return err //nolint:wrapcheck // explained by the caller, by kind
		}
	}

	return nil
}

// ask executes a query for no row, to see whether it is allowed.
func ask(ctx context.Context, connection *sql.Conn, query string) error {
	_, err := connection.ExecContext(ctx, query)

	return err //nolint:wrapcheck // explained by the caller, by kind
}

func (s *Store) columns(ctx context.Context, connection *sql.Conn) (columns []column, err error) {
	result, err := connection.QueryContext(ctx,
		"SELECT LOWER(table_name), LOWER(column_name), LOWER(data_type), COALESCE(character_set_name, ''),"+
			" COALESCE(collation_name, ''), COALESCE(character_octet_length, 0)"+
			" FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name IN ('"+interfaces+"', '"+subnets+"')")
	if err != nil {
		return nil, err //nolint:wrapcheck // explained by the caller, by kind
	}
	defer func() { err = errors.Join(err, result.Close()) }()
	for result.Next() {
		var one column
		if err := result.Scan(&one.table, &one.name, &one.kind, &one.charset, &one.collation, &one.octets); err != nil {
			return nil, fmt.Errorf("read the columns of %s: %w", strings.Join([]string{interfaces, subnets}, " and "), err)
		}
		columns = append(columns, one)
	}

	return columns, result.Err() //nolint:wrapcheck // explained by the caller, by kind
}
