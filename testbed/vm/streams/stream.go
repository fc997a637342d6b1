package streams

import (
	"bytes"
	"io"
	"sync"
)

// Stream is one end of a stream. Its methods are safe for concurrent use.
type Stream struct {
	line    *Line
	id      uint32
	purpose []byte

	mu       sync.Mutex // guards what follows
	changed  *sync.Cond // whenever one of them has
	arrived  bytes.Buffer
	lastWord []byte
	theirs   bool // the other end has sent all
	ours     bool // this end has sent all
	failed   bool
	broken   chan struct{} // closed as soon as failed is true
}

func newStream(line *Line, id uint32, purpose []byte) *Stream {
	s := &Stream{line: line, id: id, purpose: purpose, broken: make(chan struct{})}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// Purpose is what whoever opened the stream has said of it.
func (s *Stream) Purpose() []byte { return s.purpose }

// Read waits for something to arrive. It ends with io.EOF when the other end has sent all.
func (s *Stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.arrived.Len() > 0:
			return s.arrived.Read(p)
		case s.failed:
			return 0, ErrReset
		case s.theirs:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

// LastWord is what the other end said when it had sent all; there is none before Read has ended with io.EOF.
func (s *Stream) LastWord() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastWord
}

// Write sends. It waits for the line alone, not for whoever reads.
func (s *Stream) Write(p []byte) (int, error) {
	for sent := 0; sent < len(p); {
		s.mu.Lock()
		over := s.failed || s.ours
		s.mu.Unlock()
		if over {
			return sent, ErrReset
		}
		part := p[sent:min(len(p), sent+maxPayload)]
		if err := s.line.send(frameData, s.id, part); err != nil {
			return sent, err
		}
		sent += len(part)
	}
	return len(p), nil
}

// End says that all is sent, with a last word of at most 32 KB.
func (s *Stream) End(lastWord []byte) error {
	s.mu.Lock()
	if s.failed || s.ours {
		s.mu.Unlock()
		return ErrReset
	}
	s.ours = true
	both := s.theirs
	s.mu.Unlock()
	if both {
		s.line.forget(s)
	}
	return s.line.send(frameEnd, s.id, lastWord)
}

// CloseWrite says that all is sent.
func (s *Stream) CloseWrite() error { return s.End(nil) }

// Close gives the stream up, if it has not ended both ways.
func (s *Stream) Close() error {
	s.mu.Lock()
	over := s.failed || s.ours && s.theirs
	if !over {
		s.failLocked()
	}
	s.mu.Unlock()
	if over {
		return nil
	}
	s.line.forget(s)
	return s.line.send(frameReset, s.id, nil)
}

func (s *Stream) add(more []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived.Write(more)
	s.changed.Broadcast()
}

func (s *Stream) theirEnd(lastWord []byte) {
	s.mu.Lock()
	s.theirs, s.lastWord = true, lastWord
	both := s.ours
	s.changed.Broadcast()
	s.mu.Unlock()
	if both {
		s.line.forget(s)
	}
}

// fail ends the stream: the line has, or the other end has given it up.
func (s *Stream) fail() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failLocked()
}

// failLocked is fail for who holds the lock.
func (s *Stream) failLocked() {
	if s.failed {
		return
	}
	s.failed = true
	close(s.broken)
	s.changed.Broadcast()
}
