package identity_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"multinic.dev/testbed/authority"
)

// unfinished begins a call whose message lacks its last byte. The status comes when the call ends; end sends the byte.
func (d *dispatcher) unfinished(config *tls.Config, method, authorization string) (status <-chan string, end func()) {
	d.t.Helper()
	config.NextProtos = []string{"h2"}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	d.t.Cleanup(transport.CloseIdleConnections)
	rest, more := io.Pipe()
	// Two bytes are a field that no request has.
	body := io.MultiReader(bytes.NewReader([]byte{0, 0, 0, 0, 2, 0x78}), rest)
	request, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, "https://"+d.address+method, body)
	must(d.t, err)
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("TE", "trailers")
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	ended := make(chan string, 1)
	go func() {
		answer, err := transport.RoundTrip(request)
		if err != nil {
			ended <- err.Error()

			return
		}
		_, err = io.Copy(io.Discard, answer.Body)
		ended <- answer.Header.Get("Grpc-Status") + answer.Trailer.Get("Grpc-Status")
		_ = errors.Join(err, answer.Body.Close())
	}()

	return ended, func() {
		go func() {
			_, _ = more.Write([]byte{1})
			_ = more.Close()
		}()
	}
}

// endsWith requires that a call has ended, with a status.
func endsWith(t *testing.T, what string, status <-chan string, want string) {
	t.Helper()
	select {
	case got := <-status:
		if got != want {
			t.Errorf("%s: status %s, want %s", what, got, want)
		}
	case <-time.After(10 * time.Second):
		t.Errorf("%s: it waits for the message", what)
	}
}

func TestACallIsRefusedBeforeItsMessageIsThere(t *testing.T) {
	const list, health, ok, permissionDenied, unauthenticated = "/multinic.v1.FleetService/ListNodes", "/grpc.health.v1.Health/Check", "0", "7", "16"
	k := serveKubernetes(t)
	k.api.do(func() {
		k.api.roles["lister"] = []string{list}
		k.api.bound["system:serviceaccount:"+operator] = []string{"lister"}
	})
	node, person := "Bearer "+k.api.sign(executor, "system/pod-a", time.Hour, ours), "Bearer "+k.api.sign(operator, "", time.Hour, ours)
	for _, one := range []struct{ what, method, says, want string }{
		{"no token", list, "", unauthenticated}, {"no token, for health", health, "", unauthenticated},
		{"a forged token", list, node[:len(node)-4] + "AAAA", unauthenticated},
		{"an executor's question", list, node, permissionDenied}, {"an operator without the right", "/multinic.v1.FleetService/ReleaseGuard", person, permissionDenied},
		{"what there is not", "/multinic.v1.FleetService/Missing", node, permissionDenied},
	} {
		status, end := k.unfinished(k.trusting(), one.method, one.says)
		endsWith(t, one.what, status, one.want)
		end()
	}
	status, end := k.unfinished(k.trusting(), list, person)
	end()
	endsWith(t, "an operator's message that is whole", status, ok)

	m := serveMTLS(t)
	status, end = m.unfinished(m.trusting(m.callers.Issue(authority.Leaf{CommonName: "node-a", Organisations: []string{anExecutor}})), list, "")
	endsWith(t, "an executor's certificate", status, permissionDenied)
	end()
}
