// Package store reads the rows of the table multi_interface and flips their flags: it is the only room that speaks SQL.
//
// Whatever it reads, compares, or digests of a column goes through one and the same SQL expression (see column), so
// that no character set, collation, padding or type can make two different contents look alike.
package store

import (
	"context"
	"database/sql"
	"sync"
	"sync/atomic"
	"time"

	"multinic.dev/dispatcher/internal/row"
)

// Limits on how long one conversation with the server may take. A server that stands still must be noticed well
// within the time in which people do, and a big table on a busy server must still be read.
const (
	defaultDialTimeout  = 5 * time.Second
	defaultReplyTimeout = 10 * time.Second
	// maxConnections serves one poll and one commit at the same time, and the rest of one that is being given up.
	maxConnections = 4
	// connectionLifetime bounds how long a connection outlives a failover behind --db-host, or a changed password.
	connectionLifetime = 5 * time.Minute
)

// Config says where the table is and who asks for it.
type Config struct {
	// Host and Port are the writable server's (--db-host, --db-port).
	Host string
	Port int
	// User and Database are the account's name and the database's (--db-user, --db-name).
	User, Database string
	// Password is asked for the password at each new connection, so that a changed one takes effect without a
	// restart. It may be called from several goroutines at a time. Nil means an empty password.
	Password func() (string, error)
	// DialTimeout bounds the making of a connection; zero means five seconds.
	DialTimeout time.Duration
	// ReplyTimeout bounds the wait for any part of a reply; zero means ten seconds.
	ReplyTimeout time.Duration
}

// Change is what Follow has read anew.
type Change struct {
	// Full says that this is the first picture since Follow began: a node that is not in Nodes has no rows.
	Full bool
	// Nodes has every row of each named node, ordered by id; those that belong to no node are under row.NoNode. An empty slice: the node has
	// no rows (any more).
	// The receiver owns it.
	Nodes map[string][]row.Row
}

// Follower is told what Follow sees. Its methods are called from Follow's own goroutine, one at a time, and hold it
// up until they return.
type Follower interface {
	// Changed hands over what was read anew. The first call ever has Full set.
	Changed(change Change)
	// Failed says that a poll did not succeed. What was handed over before still stands. A *SetupError among these says
	// that the poll was refused rather than unlucky. It is called once for every attempt that failed.
	Failed(err error)
	// Polled says that a poll succeeded, after the Changed that it led to, if it did, and when it began: what happened since then
	// it may not have seen.
	Polled(began time.Time)
}

// Store is the table. All its methods are safe concurrently, but for Follow, which may run once at a time.
type Store struct {
	config Config
	db     *sql.DB
	// table is how the table looked when its columns were last read; nil before, and after an error.
	table atomic.Pointer[table]
	// account is the text 'user@host' by which the server knows us, as it last said; nothing before.
	account atomic.Value

	// mu guards reread: the nodes that the next poll reads whatever their digests say.
	mu     sync.Mutex
	reread map[string]struct{}
}

// Reread makes the next poll read these nodes, whatever their digests say, and hand them over even if they are as they were.
// Safe concurrently, never blocks.
func (s *Store) Reread(nodes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, node := range nodes {
		s.reread[node] = struct{}{}
	}
}

// takeReread takes over the nodes to be read anew.
func (s *Store) takeReread() map[string]struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	nodes := s.reread
	s.reread = make(map[string]struct{})

	return nodes
}

// current returns the table as it was last inspected, and inspects it if it never was.
func (s *Store) current(ctx context.Context) (*table, error) {
	if table := s.table.Load(); table != nil {
		return table, nil
	}

	return s.inspect(ctx)
}
