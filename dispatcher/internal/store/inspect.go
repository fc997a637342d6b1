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
		return nil, s.explain(err, "")
	}
	defer func() { _ = connection.Close() }() // back to the pool; what failed was said by what was asked on it

	var account, format string
	var readOnly bool
	if err := connection.QueryRowContext(ctx, "SELECT CURRENT_USER(), @@global.read_only, IF(@@global.log_bin, @@global.binlog_format, '')").
		Scan(&account, &readOnly, &format); err != nil {
		return nil, s.explain(err, "")
	}
	if readOnly {
		return nil, s.readOnly()
	}
	if err := ask(ctx, connection, "SELECT 1 FROM "+interfaces+" WHERE FALSE"); err != nil {
		return nil, s.explain(err, account)
	}
	columns, err := s.columns(ctx, connection)
	if err != nil {
		return nil, s.explain(err, account)
	}
	found, missing := arrange(columns)
	if missing != "" {
		return nil, &SetupError{Message: fmt.Sprintf(
			"%s, or the account may not SELECT it: alter the table, or choose another database with --db-name (now %s), or %s",
			missing, s.config.Database, s.grant(account))}
	}
	found.repeatable = format == "STATEMENT"
	for _, statement := range []string{found.rows("FALSE"), "UPDATE " + interfaces + " SET netplan_success = 1 WHERE FALSE"} {
		if err := ask(ctx, connection, statement); err != nil {
			return nil, s.explain(err, account)
		}
	}
	s.table.Store(found)

	return found, nil
}

// ask executes a statement that is about no row, to see whether it is allowed.
func ask(ctx context.Context, connection *sql.Conn, statement string) error {
	_, err := connection.ExecContext(ctx, statement)

	return err //nolint:wrapcheck // explained by the caller, by kind
}

func (s *Store) columns(ctx context.Context, connection *sql.Conn) (columns []column, err error) {
	result, err := connection.QueryContext(ctx,
		"SELECT LOWER(table_name), LOWER(column_name), COALESCE(character_set_name, ''), COALESCE(character_octet_length, 0)"+
			" FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name IN ('"+interfaces+"', '"+subnets+"')")
	if err != nil {
		return nil, err //nolint:wrapcheck // explained by the caller, by kind
	}
	defer func() { err = errors.Join(err, result.Close()) }()
	for result.Next() {
		var one column
		if err := result.Scan(&one.table, &one.name, &one.charset, &one.octets); err != nil {
			return nil, fmt.Errorf("read the columns of %s: %w", strings.Join([]string{interfaces, subnets}, " and "), err)
		}
		columns = append(columns, one)
	}

	return columns, result.Err() //nolint:wrapcheck // explained by the caller, by kind
}
