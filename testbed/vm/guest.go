package vm

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"multinic.dev/testbed/vm/order"
	"multinic.dev/testbed/vm/streams"
)

// ask has the guest's agent do something, for which it may be sent something, and returns what it printed.
func (m *machine) ask(ctx context.Context, o *order.Order, send io.Reader) (said string, code int, err error) {
	s, err := m.line.Open(o.Bytes())
	if err != nil {
		return "", 0, fmt.Errorf("ask the guest's agent: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	// A stream that is given up wakes up whoever reads.
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if send != nil {
		if _, err := io.Copy(s, send); err != nil {
			return "", 0, errors.Join(fmt.Errorf("send it to the guest: %w", err), ctx.Err())
		}
	}
	if o.Do != order.Run { // To a program signals could be sent yet.
		if err := s.CloseWrite(); err != nil {
			return "", 0, errors.Join(err, ctx.Err())
		}
	}
	text, err := io.ReadAll(s)
	switch {
	case ctx.Err() != nil:
		return string(text), 0, errors.New("it has not ended in time")
	case err != nil:
		return string(text), 0, fmt.Errorf("hear from the guest: %w", err)
	}
	if o.Do == order.Run {
		_ = s.CloseWrite() // Or it would look given up.
	}
	code, err = outcome(s)
	return string(text), code, err
}

func outcome(s *streams.Stream) (int, error) {
	var how order.Outcome
	if err := json.Unmarshal(s.LastWord(), &how); err != nil {
		return 0, fmt.Errorf("understand the guest: %w", err)
	}
	if how.Error != "" {
		return 0, errors.New(how.Error)
	}
	return how.Code, nil
}

// quiet waits until the guest's systemd has started all that it starts, and says how it is: "running", or "degraded", if a
// unit failed.
func (m *machine) quiet(ctx context.Context) (string, error) {
	for {
		out, _, err := m.ask(ctx, &order.Order{Do: order.Run, Args: []string{"systemctl", "is-system-running", "--wait"}}, nil)
		if err != nil {
			return "", err
		}
		switch state := strings.TrimSpace(out); state {
		case "running", "degraded":
			// udev loads drivers in its own time.
			_, _, err := m.ask(ctx, &order.Order{Do: order.Run, Args: []string{"udevadm", "settle", "--timeout=60"}}, nil)
			return state, err
		case "stopping", "maintenance":
			return "", fmt.Errorf("its systemd is %s", state)
		}
		// Early on systemd does not answer yet.
		select {
		case <-after(100 * time.Millisecond):
		case <-ctx.Done():
			return "", errors.New("not all that it started has come to an end in time")
		}
	}
}

// identity is one that no other guest has.
func identity(name string) *order.Order {
	chance := make([]byte, 16+64)
	_, _ = rand.Read(chance) // It cannot fail.
	return &order.Order{Do: order.Identify, Clock: time.Now().UnixNano(), Host: name, ID: hex.EncodeToString(chance[:16]), Seed: chance[16:]}
}
