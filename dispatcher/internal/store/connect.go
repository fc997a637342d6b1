package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"
)

// New returns the store of a table. It does no I/O. Close frees it.
func New(config Config) *Store {
	if config.DialTimeout == 0 {
		config.DialTimeout = defaultDialTimeout
	}
	if config.ReplyTimeout == 0 {
		config.ReplyTimeout = defaultReplyTimeout
	}
	db := sql.OpenDB(&connector{config: config})
	db.SetMaxOpenConns(maxConnections)
	db.SetMaxIdleConns(maxConnections / 2)
	db.SetConnMaxLifetime(connectionLifetime)

	return &Store{config: config, db: db, reread: make(map[string]struct{})}
}

// Close ends all connections. Follow and Commit must have returned.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close the connections to the database: %w", err)
	}

	return nil
}

// connector makes connections that are alike whatever the server's defaults are.
type connector struct{ config Config }

var _ driver.Connector = &connector{}

// transactions is said at each connection: a server whose default is READ UNCOMMITTED would show rows that never were, and
// one whose default is READ ONLY would never commit. Under READ COMMITTED every single statement still sees one moment,
// and no statement here needs another to agree.
const transactions = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE"

// Connect makes a connection, with the password as it is now.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	settings, err := c.settings()
	if err != nil {
		return nil, err
	}
	made, err := mysql.NewConnector(settings)
	if err != nil {
		return nil, fmt.Errorf("settings of the database connection: %w", err)
	}
	connection, err := made.Connect(ctx)
	if err != nil {
		return nil, err //nolint:wrapcheck // explained where it ends, by kind
	}
	execer, ok := connection.(driver.ExecerContext)
	if !ok {
		return nil, errors.Join(errors.New("the database driver cannot execute statements"), connection.Close())
	}
	if _, err := execer.ExecContext(ctx, transactions, nil); err != nil {
		return nil, errors.Join(err, connection.Close())
	}

	return connection, nil
}

// Driver is what database/sql asks of a connector.
func (c *connector) Driver() driver.Driver { return mysql.MySQLDriver{} }

func (c *connector) settings() (*mysql.Config, error) {
	settings := mysql.NewConfig()
	settings.Net = "tcp"
	settings.Addr = net.JoinHostPort(c.config.Host, strconv.Itoa(c.config.Port))
	settings.User = c.config.User
	settings.DBName = c.config.Database
	settings.Timeout = c.config.DialTimeout
	settings.ReadTimeout = c.config.ReplyTimeout
	settings.WriteTimeout = c.config.ReplyTimeout
	// Errors come back as errors; the driver's own lines on stderr would say them twice.
	settings.Logger = &mysql.NopLogger{}
	// A commit counts the rows that it found: without this the driver counts those that it changed.
	settings.ClientFoundRows = true
	settings.Params = map[string]string{
		// With autocommit off by the server's init_connect, all polls would look at one moment for ever.
		"autocommit": "1",
		// Timestamps are read as text: of a zone without leaps, so that no two moments have the same.
		"time_zone": "'+00:00'",
		// A row that cannot be converted must not make the statement fail for all others.
		"sql_mode": "''",
		// Seconds, for a table that is locked or altered. The server gives up before we do, and says why.
		"lock_wait_timeout": strconv.Itoa(max(1, int(c.config.ReplyTimeout/(2*time.Second)))),
		// Whoever holds a row is about to change it: a commit passes it over, rather than keep all others waiting.
		"innodb_lock_wait_timeout": "0",
	}
	if err := settings.Apply(mysql.Charset("utf8mb4", "utf8mb4_bin")); err != nil {
		return nil, fmt.Errorf("settings of the database connection: %w", err)
	}
	if c.config.Password != nil {
		password, err := c.config.Password()
		if err != nil {
			return nil, &SetupError{Message: oneLine("the password of the database account cannot be had: " + err.Error() +
				"; set DB_PASSWORD, or --db-password-file to a file that can be read"), cause: err}
		}
		settings.Passwd = password
	}

	return settings, nil
}
