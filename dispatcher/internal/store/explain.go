package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// The server's error numbers that somebody has to do something about.
const (
	deniedDatabase  = 1044
	deniedPassword  = 1045
	unknownDatabase = 1049
	unknownColumn   = 1054
	deniedHost      = 1130
	deniedTable     = 1142
	deniedColumn    = 1143
	noSuchTable     = 1146
	optionPrevents  = 1290
	deniedNoPlugin  = 1698
	readOnlyMode    = 1836
	deniedExpired   = 1862
	deniedLocked    = 4151
)

// outage is an error that passes by itself, in one line.
type outage struct {
	message string
	cause   error
}

// Error returns the message.
func (e *outage) Error() string { return e.message }

// Unwrap returns what the driver said, if it said something.
func (e *outage) Unwrap() error { return e.cause }

// explain turns an error of the driver into one line that names the setting and the remedy: a *SetupError or an *outage.
// What is one of them already stays as it is.
func (s *Store) explain(err error) error {
	var setup *SetupError
	var passing *outage
	if err == nil || errors.As(err, &setup) || errors.As(err, &passing) {
		return err
	}
	server := fmt.Sprintf("the database at %s:%d", s.config.Host, s.config.Port)
	passes := func(format string, arguments ...any) error {
		return &outage{message: oneLine(server + " " + fmt.Sprintf(format, arguments...)), cause: err}
	}
	var refused *mysql.MySQLError
	switch {
	case errors.Is(err, context.Canceled):
		return passes("was not waited for: %v", err)
	case errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, driver.ErrBadConn):
		return passes("(--db-host, --db-port) broke the connection, or did not reply within %v: %v", s.config.ReplyTimeout, err)
	case !errors.As(err, &refused):
		return passes("cannot be reached (--db-host, --db-port): %v", err)
	}
	message := func(format string, arguments ...any) error {
		return &SetupError{Message: oneLine(fmt.Sprintf(format, arguments...)), cause: err}
	}
	switch refused.Number {
	case deniedPassword, deniedNoPlugin, deniedLocked, deniedExpired:
		return message("%s denies the user %s: set --db-user, and DB_PASSWORD or --db-password-file, to an account of it (%s)",
			server, s.config.User, refused.Message)
	case deniedHost:
		return message("%s lets nobody in from this host: create the account of --db-user (%s) for this host too (%s)",
			server, s.config.User, refused.Message)
	case unknownDatabase:
		return message("there is no database %s: set --db-name to the one that has the table %s", s.config.Database, interfaces)
	case deniedDatabase:
		return message("the user %s has no rights in the database %s, or it is not there: set --db-name, or %s",
			s.config.User, s.config.Database, s.grant(interfaces))
	case noSuchTable:
		return message("the database %s has no table %s: create it, or set --db-name to the database that has it (%s)",
			s.config.Database, tableOf(refused), refused.Message)
	case unknownColumn:
		// What is missing of those that must be there is said when the columns are read anew.
		return passes("(--db-host, --db-port) has a table %s that lacks a column which it had (%s)", interfaces, refused.Message)
	case deniedTable, deniedColumn:
		return message("the account of --db-user lacks a right: %s (%s)", s.grant(tableOf(refused)), refused.Message)
	case optionPrevents, readOnlyMode:
		return s.readOnly(err)
	default:
		return passes("(--db-host, --db-port) answered: %v", err)
	}
}

// tableOf says which of the two tables an error is about.
func tableOf(refused *mysql.MySQLError) string {
	if strings.Contains(refused.Message, subnets) {
		return subnets
	}

	return interfaces
}

// readOnly is no SetupError: after a failover, the server behind the name becomes writable, or the name becomes another's.
// The cause is what the server said when it refused to write; nil if it was only asked.
func (s *Store) readOnly(err error) error {
	return &outage{message: fmt.Sprintf("the database at %s:%d is read-only: --db-host must be the writable server", s.config.Host, s.config.Port), cause: err}
}

// grant is what to say to the database, as its administrator, to give the account all the rights on a table that it needs.
func (s *Store) grant(table string) string {
	name, host := s.config.User, "%"
	if account, ok := s.account.Load().(string); ok {
		if at := strings.LastIndexByte(account, '@'); at >= 0 {
			name, host = account[:at], account[at+1:]
		}
	}
	rights := "SELECT, UPDATE (netplan_success)"
	if table == subnets {
		rights = "SELECT"
	}

	return fmt.Sprintf("GRANT %s ON %s.%s TO %s@%s", rights, quoted(s.config.Database, "`"), table, quoted(name, "'"), quoted(host, "'"))
}

// quoted puts a name in quotes as SQL wants it, quotes within it too.
func quoted(name, quote string) string {
	if quote == "'" {
		name = strings.ReplaceAll(name, `\`, `\\`)
	}

	return quote + strings.ReplaceAll(name, quote, quote+quote) + quote
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
