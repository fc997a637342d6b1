package store_test

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// relay passes all on between clients and the server on a port, but each statement as look returns it; look may also take
// its time. It returns its own port.
func relay(t *testing.T, port int, look func(statement string) string) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it listens at once or not at all
	must(t, err)
	var passing sync.WaitGroup
	t.Cleanup(passing.Wait)
	t.Cleanup(func() { must(t, listener.Close()) })
	passing.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // closed
			}
			server, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // on this machine
			if err != nil {
				t.Error(err)

				return
			}
			passing.Go(func() {
				defer hangUp(client, server)
				_, _ = io.Copy(client, server) // until either end closes
			})
			passing.Go(func() {
				defer hangUp(client, server)
				for passStatement(client, server, look) == nil {
				}
			})
		}
	})
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("the listener's address is %v", listener.Addr())
	}

	return address.Port
}

// hangUp ends both, whichever of them ended first.
func hangUp(client, server net.Conn) { _, _ = client.Close(), server.Close() }

// passStatement passes on one packet of the MySQL protocol: its length in three bytes, its number in one, and its payload,
// which in a statement begins with COM_QUERY.
func passStatement(from io.Reader, to io.Writer, look func(statement string) string) error {
	const head, query = 4, 0x03
	packet := make([]byte, head)
	if _, err := io.ReadFull(from, packet); err != nil {
		return errors.Join(err)
	}
	payload := make([]byte, binary.LittleEndian.Uint32([]byte{packet[0], packet[1], packet[2], 0}))
	if _, err := io.ReadFull(from, payload); err != nil {
		return errors.Join(err)
	}
	if len(payload) > 0 && payload[0] == query && packet[3] == 0 {
		payload = append(payload[:1], look(string(payload[1:]))...)
		var length [4]byte
		binary.LittleEndian.PutUint32(length[:], uint32(len(payload)))
		copy(packet, length[:3])
	}
	_, err := to.Write(slices.Concat(packet, payload))

	return errors.Join(err)
}
