// Command listener prints what the kernel of a guest says, a message a line, for a monitor that listens from outside. Its first line
// is empty: from then on it misses nothing, or ends.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"multinic.dev/testbed/monitor/socket"
)

func main() {
	fmt.Fprintf(os.Stderr, "listener: %v\n", listen())
	os.Exit(1)
}

// listen returns only when it cannot go on.
func listen() error {
	s, err := socket.Open()
	if err != nil {
		return err
	}
	defer s.Close()
	out := bufio.NewWriter(os.Stdout)
	lines := json.NewEncoder(out)
	if _, err := out.WriteString("\n"); err != nil {
		return fmt.Errorf("say that it listens: %w", err)
	}
	for {
		if err := out.Flush(); err != nil {
			return fmt.Errorf("pass on what was said: %w", err)
		}
		messages, err := s.Receive()
		if err != nil {
			return err
		}
		now := time.Now().UnixNano()
		for _, message := range messages {
			if err := lines.Encode(socket.Message{At: now, Type: message.Header.Type, Data: message.Data}); err != nil {
				return fmt.Errorf("pass on what was said: %w", err)
			}
		}
	}
}
