// Package order says what a machine and the agent in its guest ask of each other: the purposes of the streams between them.
package order

import "encoding/json"

// Port is the name of the virtio-serial port over which both speak.
const Port = "dev.multinic.agent"

// The things that can be asked for, and what then happens on the stream.
const (
	// Run starts a program. The agent sends what it prints, and the last word is how it ended; the machine sends signals
	// to the program, a byte each. A stream that is given up ends the program with all that it started.
	Run = "run"
	// Write writes a file, which the machine sends, durably and at once.
	Write = "write"
	// Identify makes the guest one of its own.
	Identify = "identify"
	// Listen makes a socket whose connections are passed on. Asked for again it does nothing.
	Listen = "listen"
	// Connect is asked by the agent: somebody has connected to the socket.
	Connect = "connect"
)

// Order is what a stream is for.
type Order struct {
	Do string `json:"do"`
	// Args are a program and its arguments.
	Args []string `json:"args,omitempty"`
	// Path is a file's or a socket's in the guest, and Mode the file's permissions.
	Path string `json:"path,omitempty"`
	Mode uint32 `json:"mode,omitempty"`
	// Clock is the time in nanoseconds since 1970; Host the host's name; ID the machine's id; Seed so much chance.
	Clock int64  `json:"clock,omitempty"`
	Host  string `json:"host,omitempty"`
	ID    string `json:"id,omitempty"`
	Seed  []byte `json:"seed,omitempty"`
}

// Outcome is the last word of whoever carried out an order.
type Outcome struct {
	// Code is what a program exited with; 128 and the signal's number if one ended it.
	Code int `json:"code"`
	// Error says why the order could not be carried out.
	Error string `json:"error,omitempty"`
}

// Bytes are an order as it is sent.
func (o *Order) Bytes() []byte {
	text, _ := json.Marshal(o) //nolint:errchkjson // It has nothing in it that could not be written.
	return text
}

// Bytes are an outcome as it is sent.
func (o *Outcome) Bytes() []byte {
	text, _ := json.Marshal(o) //nolint:errchkjson // It has nothing in it that could not be written.
	return text
}
