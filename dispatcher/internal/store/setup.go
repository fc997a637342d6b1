package store

import (
	"context"
)

// SetupError says that the server answered and refused, or that the table is not one to work on: waiting does not
// help, somebody has to change a setting or the database.
type SetupError struct {
	// Message is one line that names the setting or the thing that is missing, and the remedy.
	Message string
	cause   error
}

// Error returns the message.
func (e *SetupError) Error() string { return e.Message }

// Unwrap returns what the server said, if it said something.
func (e *SetupError) Unwrap() error { return e.cause }

// Prepare connects, reads which columns there are, and proves that the account may read the table and may write
// netplan_success, without writing. It changes nothing. A *SetupError tells what to set right; any other error is
// one that passes by itself (the server is unreachable, read-only, overloaded): one line that names --db-host.
func (s *Store) Prepare(ctx context.Context) error {
	_, err := s.inspect(ctx)

	return err
}
