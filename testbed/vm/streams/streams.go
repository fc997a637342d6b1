// Package streams carries many streams over one line, such as a serial port between a machine and its guest.
//
// Both ends may open streams. What arrives is taken from the line at once and kept until it is read, however much it
// is: no stream holds up another, and nothing holds up the line.
package streams

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// The kinds of frames. A frame is its kind, its stream, the length of what follows, and that.
const (
	frameOpen  = iota + 1 // a stream begins; what it is for
	frameData             // some of a stream
	frameEnd              // the sender sends no more; its last word
	frameReset            // the sender neither sends nor wants any more
)

const (
	headerSize = 9
	// maxPayload keeps a stream with much to say from holding the line for long.
	maxPayload = 32 << 10
)

// ErrReset is what a stream fails with that its other end has given up, or that the line's end has ended.
var ErrReset = errors.New("the stream was given up")

// Line is one end of a line. Its methods are safe for concurrent use.
type Line struct {
	line   io.ReadWriteCloser
	accept func(s *Stream)

	sending sync.Mutex // one frame at a time

	mu      sync.Mutex         // guards what follows
	streams map[uint32]*Stream // those that have not ended both ways
	next    uint32
	ended   bool
}

// The two ends of a line number the streams that they open so that none meets the other's.
const (
	Machine uint32 = 1
	Guest   uint32 = 2
)

// New is an end of a line. For each stream that the other end opens accept is called, which must not wait for anything.
func New(line io.ReadWriteCloser, end uint32, accept func(s *Stream)) *Line {
	return &Line{line: line, accept: accept, streams: map[uint32]*Stream{}, next: end}
}

// Run takes what arrives until the line ends, and then gives up all streams.
func (l *Line) Run() error {
	err := l.receive()
	l.mu.Lock()
	l.ended = true
	streams := l.streams
	l.streams = map[uint32]*Stream{}
	l.mu.Unlock()
	for _, s := range streams {
		s.fail()
	}
	return err
}

// Close ends the line, and so Run.
func (l *Line) Close() error { return l.line.Close() }

func (l *Line) receive() error {
	header := make([]byte, headerSize)
	for {
		if _, err := io.ReadFull(l.line, header); err != nil {
			return fmt.Errorf("read from the line: %w", err)
		}
		kind, id, size := header[0], binary.BigEndian.Uint32(header[1:]), binary.BigEndian.Uint32(header[5:])
		if size > maxPayload {
			return fmt.Errorf("a frame of %d bytes: the ends of the line do not understand each other", size)
		}
		payload := make([]byte, size)
		if _, err := io.ReadFull(l.line, payload); err != nil {
			return fmt.Errorf("read from the line: %w", err)
		}
		l.take(kind, id, payload)
	}
}

func (l *Line) take(kind byte, id uint32, payload []byte) {
	if kind == frameOpen {
		s := newStream(l, id, payload)
		l.mu.Lock()
		l.streams[id] = s
		l.mu.Unlock()
		l.accept(s)
		return
	}
	l.mu.Lock()
	s := l.streams[id]
	l.mu.Unlock()
	if s == nil {
		return // It was given up here, which the other end did not know yet.
	}
	switch kind {
	case frameData:
		s.add(payload)
	case frameEnd:
		s.theirEnd(payload)
	case frameReset:
		l.forget(s)
		s.fail()
	}
}

func (l *Line) send(kind byte, id uint32, payload []byte) error {
	frame := make([]byte, headerSize, headerSize+len(payload))
	frame[0] = kind
	binary.BigEndian.PutUint32(frame[1:], id)
	binary.BigEndian.PutUint32(frame[5:], uint32(len(payload)))
	l.sending.Lock()
	defer l.sending.Unlock()
	if _, err := l.line.Write(append(frame, payload...)); err != nil {
		return fmt.Errorf("write to the line: %w", err)
	}
	return nil
}

func (l *Line) forget(s *Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.streams, s.id)
}

// Open begins a stream, and tells the other end what for.
func (l *Line) Open(purpose []byte) (*Stream, error) {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return nil, ErrReset
	}
	s := newStream(l, l.next, purpose)
	l.next += 2
	l.streams[s.id] = s
	l.mu.Unlock()
	if err := l.send(frameOpen, s.id, purpose); err != nil {
		l.forget(s)
		return nil, err
	}
	return s, nil
}
