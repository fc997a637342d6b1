package streams_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"multinic.dev/testbed/vm/streams"
)

// ends are both ends of a line, the second of which answers the streams that the first opens.
func ends(t *testing.T, answer func(s *streams.Stream)) *streams.Line {
	t.Helper()
	a, b := net.Pipe()
	var running sync.WaitGroup
	one := streams.New(a, streams.Machine, func(s *streams.Stream) { _ = s.Close() })
	other := streams.New(b, streams.Guest, func(s *streams.Stream) { running.Go(func() { answer(s) }) })
	running.Go(func() { _ = one.Run() })
	running.Go(func() { _ = other.Run() })
	t.Cleanup(func() {
		_ = one.Close()
		running.Wait()
	})
	return one
}

func open(t *testing.T, line *streams.Line, purpose string) *streams.Stream {
	t.Helper()
	s, err := line.Open([]byte(purpose))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAStreamCarriesEverythingBothWaysAndALastWord(t *testing.T) {
	line := ends(t, func(s *streams.Stream) {
		all, err := io.ReadAll(s)
		if err != nil {
			t.Error(err)
		}
		if _, err := s.Write(bytes.ToUpper(all)); err != nil {
			t.Error(err)
		}
		if err := s.End(append([]byte("that was "), s.Purpose()...)); err != nil {
			t.Error(err)
		}
	})
	var all sync.WaitGroup
	for _, letter := range []string{"a", "b", "c"} {
		all.Go(func() {
			s, err := line.Open([]byte(letter))
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := s.Write([]byte(strings.Repeat(letter, 1<<20))); err != nil {
				t.Error(err)
			}
			if err := s.CloseWrite(); err != nil {
				t.Error(err)
			}
			got, err := io.ReadAll(s)
			if want := strings.Repeat(strings.ToUpper(letter), 1<<20); err != nil || string(got) != want {
				t.Errorf("%d bytes came back, error %v", len(got), err)
			}
			if got := string(s.LastWord()); got != "that was "+letter {
				t.Errorf("the last word is %q", got)
			}
		})
	}
	all.Wait()
}

func TestAStreamThatNobodyReadsHoldsUpNoOther(t *testing.T) {
	never := make(chan struct{})
	line := ends(t, func(s *streams.Stream) {
		if string(s.Purpose()) == "deaf" {
			<-never
			return
		}
		_, _ = io.Copy(s, s)
		_ = s.CloseWrite()
	})
	t.Cleanup(func() { close(never) })
	deaf := open(t, line, "deaf")
	if _, err := deaf.Write(make([]byte, 10<<20)); err != nil {
		t.Fatal(err)
	}
	s := open(t, line, "echo")
	_, _ = s.Write([]byte("hello"))
	_ = s.CloseWrite()
	if got, err := io.ReadAll(s); err != nil || string(got) != "hello" {
		t.Errorf("%q came back, error %v", got, err)
	}
}

func TestWhoGivesAStreamUpOrEndsTheLineIsNoticed(t *testing.T) {
	noticed := make(chan error, 2)
	line := ends(t, func(s *streams.Stream) {
		_, err := io.ReadAll(s)
		noticed <- err
	})
	if err := open(t, line, "").Close(); err != nil {
		t.Error(err)
	}
	if err := <-noticed; !errors.Is(err, streams.ErrReset) {
		t.Errorf("error %v", err)
	}
	s := open(t, line, "")
	if err := line.Close(); err != nil {
		t.Error(err)
	}
	if err := <-noticed; !errors.Is(err, streams.ErrReset) {
		t.Errorf("error %v", err)
	}
	if _, err := io.ReadAll(s); !errors.Is(err, streams.ErrReset) {
		t.Errorf("error %v", err)
	}
}

func TestAConnectionThatNobodyReadsEndsWithTheLine(t *testing.T) {
	line := ends(t, func(s *streams.Stream) { _, _ = s.Write([]byte("to whom it may concern")) })
	here, there := net.Pipe()
	defer func() { _ = there.Close() }()
	s := open(t, line, "")
	joined := make(chan struct{})
	go func() {
		defer close(joined)
		streams.Join(s, here)
	}()
	if _, err := io.ReadFull(there, make([]byte, 1)); err != nil {
		t.Fatal(err) // From now on somebody writes what nobody reads.
	}
	if err := line.Close(); err != nil {
		t.Error(err)
	}
	<-joined
}
