package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
)

// monitor is the connection by which qemu is told what to do, in its protocol QMP. Its methods are safe for concurrent use.
type monitor struct {
	connection *net.UnixConn
	listening  sync.WaitGroup

	asking sync.Mutex // one command at a time
	answer chan message

	mu      sync.Mutex // guards what follows
	events  []message
	changed chan struct{} // closed, and made anew, when an event came or the connection ended
	over    bool
}

// message is whatever qemu says.
type message struct {
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Desc string `json:"desc"`
	} `json:"error"`
	Event string         `json:"event"`
	Data  map[string]any `json:"data"`
}

// openMonitor takes over a connection, which Close ends.
func openMonitor(ctx context.Context, connection *net.UnixConn) (*monitor, error) {
	m := &monitor{connection: connection, answer: make(chan message), changed: make(chan struct{})}
	m.listening.Go(m.listen)
	if _, err := m.do(ctx, "qmp_capabilities", nil); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Close ends the connection.
func (m *monitor) Close() error {
	err := m.connection.Close()
	m.listening.Wait()
	return err
}

func (m *monitor) listen() {
	defer close(m.answer)
	for scanner := bufio.NewScanner(m.connection); scanner.Scan(); {
		var said message
		if err := json.Unmarshal(scanner.Bytes(), &said); err != nil {
			break
		}
		switch {
		case said.Event != "":
			m.note(&said)
		case said.Return != nil || said.Error != nil:
			m.answer <- said
		}
	}
	m.note(nil)
}

// note keeps an event; nil: there will be no more.
func (m *monitor) note(event *message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if event == nil {
		m.over = true
	} else {
		m.events = append(m.events, *event)
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

// do has qemu carry out a command, and returns what it answers.
func (m *monitor) do(ctx context.Context, command string, arguments map[string]any) (json.RawMessage, error) {
	return m.doWith(ctx, -1, command, arguments)
}

// doWith is do with a descriptor that goes with the command; -1: none.
func (m *monitor) doWith(ctx context.Context, descriptor int, command string, arguments map[string]any) (json.RawMessage, error) {
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	text, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("word the command %s: %w", command, err)
	}
	var rights []byte
	if descriptor >= 0 {
		rights = syscall.UnixRights(descriptor)
	}
	m.asking.Lock()
	defer m.asking.Unlock()
	if _, _, err := m.connection.WriteMsgUnix(append(text, '\n'), rights, nil); err != nil {
		return nil, fmt.Errorf("tell qemu to %s: %w", command, err)
	}
	select {
	case said, ok := <-m.answer:
		switch {
		case !ok:
			return nil, fmt.Errorf("qemu has ended instead of doing %s", command)
		case said.Error != nil:
			return nil, fmt.Errorf("qemu does not %s: %s", command, said.Error.Desc)
		}
		return said.Return, nil
	case <-ctx.Done():
		// What it answers yet would be taken for that of the next command.
		return nil, errors.Join(fmt.Errorf("qemu has not done %s in time", command), m.connection.Close())
	}
}

// await waits until qemu has said of something that it happened, and takes that.
func (m *monitor) await(ctx context.Context, what string, so func(event message) bool) error {
	for {
		m.mu.Lock()
		at := slices.IndexFunc(m.events, so)
		if at >= 0 {
			m.events = slices.Delete(m.events, at, at+1)
		}
		changed, over := m.changed, m.over
		m.mu.Unlock()
		switch {
		case at >= 0:
			return nil
		case over:
			return fmt.Errorf("qemu has ended before it %s", what)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("qemu has not %s in time", what)
		}
	}
}
