// Package session keeps the executor's stream to the dispatcher open.
package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	"multinic.dev/executor/internal/latest"
	"multinic.dev/executor/internal/work"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// Meter counts what happens to sessions.
type Meter interface {
	// Connected says whether there is a session now.
	Connected(yes bool)
	// Reconnecting says that an attempt begins that is not the first one.
	Reconnecting()
}

// Config is what a Client is made of. All of it must be set.
type Config struct {
	// Dial makes a connection; see the function of that name. It is asked anew for each attempt, so that what gRPC remembers of
	// earlier failures, and waits for without saying so, never adds to the waits of this package. lasts says, when a session is only to be
	// renewed, whether the next one may have this connection.
	Dial func() (connection *grpc.ClientConn, lasts func() bool, err error)
	// Hello opens each session.
	Hello *multinicv1.Hello
	// Facts are part of each report.
	Facts *multinicv1.NodeFacts
	// Sets is where the newest WorkSet goes.
	Sets *latest.Value[work.Set]
	// Reports is where the newest report comes from. A session begins once there is one. Nobody else may take from it.
	Reports *latest.Value[work.Report]
	Meter   Meter
	Log     *zap.Logger
	// Chance returns random numbers of [0, 1), as rand.Float64 does.
	Chance func() float64
}

// Client keeps one session open. Run it once; Ready is safe concurrently.
type Client struct {
	Config

	mu      sync.Mutex // guards unready
	unready error
}

// New returns a client that has no session yet.
func New(config Config) *Client {
	return &Client{Config: config, unready: errors.New("no session with the dispatcher has been opened yet")}
}

// Ready says why there is no session in which a WorkSet has come; nil when there is one.
func (c *Client) Ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.unready
}

func (c *Client) setReady(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unready = why
}

// Run opens sessions, one after another, until ctx ends. Nothing that it started is left when it returns.
func (c *Client) Run(ctx context.Context) {
	waits := newWaits(c.Chance)
	var before *stream
	for number := uint64(1); ctx.Err() == nil; number++ {
		if before != nil && !before.renews() {
			c.Meter.Reconnecting()
		}
		s := &stream{Client: c, number: number}
		if before != nil {
			s.connection, s.lasts, s.renewed = before.connection, before.lasts, before.renews()
		}
		err := s.run(ctx)
		before = s
		c.Meter.Connected(false)
		if ctx.Err() != nil {
			c.setReady(errors.New("the executor is stopping"))
			s.close()

			return
		}
		if s.renews() {
			c.Log.Info("session is renewed: what proves who this executor is was not to be believed for longer")
			if !s.lasts() {
				s.close()
			}

			continue
		}
		s.close()
		c.setReady(err)
		wait := waits.next(s)
		c.Log.Warn("session ended", zap.Error(err), zap.Duration("retry_in", wait))
		pause(ctx, wait)
	}
}

// pause returns after the duration, or when ctx ends.
func pause(ctx context.Context, duration time.Duration) {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
