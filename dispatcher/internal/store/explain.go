package store

import (
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
)

// explain turns an error of the driver into one line that names the setting and the remedy. The account is the one that the
// server took us for, or empty when it did not let us in.
func (s *Store) explain(err error, account string) error {
	var setup *SetupError
	if err == nil || errors.As(err, &setup) {
		return err
	}
	var refused *mysql.MySQLError
	if !errors.As(err, &refused) {
		return fmt.Errorf("the database at %s:%d cannot be reached (--db-host, --db-port): %w", s.config.Host, s.config.Port, err)
	}
	message := func(format string, arguments ...any) error {
		return &SetupError{Message: oneLine(fmt.Sprintf(format, arguments...)), cause: err}
	}
	switch refused.Number {
	case deniedPassword, deniedNoPlugin:
		return message("the database at %s:%d denies the user %s: set --db-user, and DB_PASSWORD or --db-password-file, to an account of it (%s)",
			s.config.Host, s.config.Port, s.config.User, refused.Message)
	case deniedHost:
		return message("the database at %s:%d lets nobody in from this host: create the account of --db-user (%s) for this host too (%s)",
			s.config.Host, s.config.Port, s.config.User, refused.Message)
	case unknownDatabase:
		return message("there is no database %s: set --db-name to the one that has the table %s", s.config.Database, interfaces)
	case deniedDatabase:
		return message("the user %s has no rights in the database %s, or it is not there: set --db-name, or %s",
			s.config.User, s.config.Database, s.grant(account))
	case noSuchTable:
		return message("the database %s has no table %s: create it, or set --db-name to the database that has it (%s)",
			s.config.Database, interfaces, refused.Message)
	case unknownColumn:
		return message("a column of %s is gone: restore it, or restart to read the columns anew (%s)", interfaces, refused.Message)
	case deniedTable, deniedColumn:
		return message("the account of --db-user lacks a right: %s (%s)", s.grant(account), refused.Message)
	case optionPrevents, readOnlyMode:
		return errors.Join(s.readOnly())
	default:
		return fmt.Errorf("the database at %s:%d (--db-host, --db-port) answered: %w", s.config.Host, s.config.Port, err)
	}
}

// readOnly is no SetupError: after a failover, the server behind the name becomes writable, or the name becomes another's.
func (s *Store) readOnly() error {
	return fmt.Errorf("the database at %s:%d is read-only: --db-host must be the writable server", s.config.Host, s.config.Port)
}

// grant is what to say to the database, as its administrator, to give an account all the rights that it needs.
func (s *Store) grant(account string) string {
	name, host := s.config.User, "%"
	if at := strings.LastIndexByte(account, '@'); at >= 0 {
		name, host = account[:at], account[at+1:]
	}

	return fmt.Sprintf("GRANT SELECT, UPDATE (netplan_success) ON %s.%s TO %s@%s",
		quoted(s.config.Database, "`"), interfaces, quoted(name, "'"), quoted(host, "'"))
}

// quoted puts a name in quotes as SQL wants it, quotes within it too.
func quoted(name, quote string) string {
	if quote == "'" {
		name = strings.ReplaceAll(name, `\`, `\\`)
	}

	return quote + strings.ReplaceAll(name, quote, quote+quote) + quote
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
