package vm

import (
	"context"
	"encoding/json"
	"net"

	"multinic.dev/testbed/vm/order"
	"multinic.dev/testbed/vm/streams"
	"multinic.dev/testbed/waiting"
)

// Forward makes a socket in the guest, as long as it runs and again whenever it does, whose connections reach a socket of
// this machine, any number of them at a time. One that is made while nobody listens here is closed at once.
func (v *VM) Forward(guest, here string) {
	v.t.Helper()
	v.mu.Lock()
	v.forwards[guest] = here
	v.mu.Unlock()
	m := v.machine()
	if m == nil {
		return
	}
	ctx, cancel := waiting.For(v.t, patience, waiting.ToSay)
	defer cancel()
	if err := v.listenIn(ctx, m, guest); err != nil {
		v.t.Fatalf("forward %s of %s: %v", guest, v.name, err)
	}
}

func (v *VM) listenIn(ctx context.Context, m *machine, guest string) error {
	_, _, err := m.ask(ctx, &order.Order{Do: order.Listen, Path: guest}, nil)
	return err
}

// accept passes on a connection that the guest's agent tells of. The machine's end waits for it.
func (v *VM) accept(m *machine, s *streams.Stream) {
	m.listening.Go(func() {
		var o order.Order
		err := json.Unmarshal(s.Purpose(), &o)
		v.mu.Lock()
		here := v.forwards[o.Path]
		v.mu.Unlock()
		if err != nil || o.Do != order.Connect || here == "" {
			_ = s.Close()
			return
		}
		connection, err := (&net.Dialer{}).DialContext(context.Background(), "unix", here)
		if err != nil {
			_ = s.Close() // Who asked sees that the connection is closed.
			return
		}
		streams.Join(s, connection)
	})
}
