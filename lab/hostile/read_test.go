package hostile_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// metrics is what the executor's /metrics says.
func (p *play) metrics() string {
	p.Helper()
	var numbers []byte
	err := p.node.Do(func() error {
		connection, err := (&net.Dialer{}).DialContext(p.Context(), "tcp", "127.0.0.1:8081")
		if err != nil {
			return err
		}
		defer func() { _ = connection.Close() }()
		if _, err := fmt.Fprint(connection, "GET /metrics HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n"); err != nil {
			return err
		}
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		numbers, err = io.ReadAll(response.Body)

		return err
	})
	if err != nil {
		p.Fatalf("the executor's metrics: %v", err)
	}

	return string(numbers)
}

// brokenLines are the lines of a log that are not one JSON object each.
func brokenLines(log string) []string {
	var broken []string
	for line := range strings.Lines(log) {
		if object := map[string]any{}; json.Unmarshal([]byte(line), &object) != nil || !strings.HasSuffix(line, "\n") {
			broken = append(broken, line)
		}
	}

	return broken
}
