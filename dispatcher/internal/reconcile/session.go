package reconcile

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"multinic.dev/dispatcher/internal/inventory"
	"multinic.dev/dispatcher/internal/wire"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// ErrDraining says that no session is opened any more.
var ErrDraining = errors.New("the dispatcher is shutting down; reconnect soon")

// Session is one executor's stream, as the reconciler knows it. It belongs to whoever opened it, who ends it with Close.
type Session struct {
	node string
	peer string
	// opened is when, by the reconciler's clock.
	opened time.Time
	// work and ended have room for one value each: Run's goroutine, which alone writes them, never waits.
	work  chan *multinicv1.WorkSet
	ended chan multinicv1.DrainReason
}

// Work hands over the newest picture that was not taken yet. An older one that nobody took is gone.
func (s *Session) Work() <-chan *multinicv1.WorkSet { return s.work }

// Ended hands over why the session must end, once.
func (s *Session) Ended() <-chan multinicv1.DrainReason { return s.ended }

// send puts a picture in the place of the one that nobody has taken.
func (s *Session) send(work inventory.WorkSet) {
	select {
	case <-s.work:
	default:
	}
	s.work <- wire.FromWorkSet(work)
}

// end asks the session to end; only the first reason counts.
func (s *Session) end(reason multinicv1.DrainReason) {
	select {
	case s.ended <- reason:
	default:
	}
}

// ErrName says that no node can have such a name.
var ErrName = errors.New("the name stands for the rows that belong to no node")

// Open begins a session of a node. One that the node has already is told to end, and nothing that it still says counts. The
// peer is the caller's address, for people. Errors: ErrName, ErrDraining, ErrStopped.
func (r *Reconciler) Open(name, peer string) (*Session, error) {
	if name == NoNode {
		return nil, ErrName
	}
	session := &Session{node: name, peer: peer, work: make(chan *multinicv1.WorkSet, 1), ended: make(chan multinicv1.DrainReason, 1)}
	refused := ErrStopped
	r.ask(func() {
		if r.draining {
			refused = ErrDraining

			return
		}
		refused = nil
		session.opened = r.now()
		known := r.of(name)
		if known.session != nil {
			r.stats.ReplacedSessions++
			r.log.Warn("a second session of a node replaces the first", zap.String("node", name),
				zap.String("peer", peer), zap.String("replaced_peer", known.session.peer))
			known.session.end(multinicv1.DrainReason_DRAIN_REASON_REPLACED)
		}
		known.session, known.closed = session, time.Time{}
		known.Open()
		touched := r.know(known)
		r.log.Info("session opened", zap.String("node", name), zap.String("peer", peer))
		for _, one := range touched {
			r.gather(one)
		}
		for _, one := range touched {
			r.proceed(one)
			if one != known {
				r.forget(one)
			}
		}
	})
	if refused != nil {
		return nil, refused
	}

	return session, nil
}

// Report takes over a session's newest report, which wire.CheckReport has let pass; the receiver keeps it. What a replaced
// session says is dropped.
func (r *Reconciler) Report(session *Session, report *multinicv1.NodeReport) {
	r.ask(func() {
		known := r.nodes[session.node]
		if known == nil || known.session != session {
			return
		}
		r.stats.Reports++
		known.report = report
		known.Report(wire.ToReport(report))
		wasSettled := r.isSettled()
		delete(r.unheard, known)
		r.gather(known)
		if !wasSettled && r.isSettled() {
			r.proceedAll()
		}
		r.proceed(known)
	})
}

// Close ends a session that Open returned.
func (r *Reconciler) Close(session *Session) {
	r.ask(func() {
		known := r.nodes[session.node]
		if known == nil || known.session != session {
			return
		}
		known.session, known.closed = nil, r.now()
		// What was proved when the dispatcher began to shut down is committed still; there is no other session to come.
		if !r.draining {
			known.Close()
		}
		r.log.Info("session closed", zap.String("node", session.node), zap.String("peer", session.peer))
		r.forget(known)
	})
}

// Drain tells every session to end, and has no new one opened.
func (r *Reconciler) Drain() {
	r.ask(func() {
		r.draining = true
		for _, known := range r.nodes {
			if known.session != nil {
				known.session.end(multinicv1.DrainReason_DRAIN_REASON_SHUTDOWN)
			}
		}
	})
}
