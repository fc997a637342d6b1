package install_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

const (
	// audience is whom operators' tokens are for.
	audience = "multinic-dispatcher"
	fleet    = "multinic.v1.FleetService/"
)

// operatorsAskByPortForward is the notes' way: grpcurl from outside, through a port that is forwarded, with a token of an account that has
// the chart's role.
func (s *site) operatorsAskByPortForward() {
	for _, name := range []string{viewer, "mallory"} {
		_, err := s.client.CoreV1().ServiceAccounts(namespace).Create(s.t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		s.must(err)
	}
	address := s.forward()

	out, err := s.grpcurl(address, s.token(viewer, audience), fleet+"ListNodes")
	if err != nil {
		s.t.Fatalf("an operator with the role is refused: %v: %s", err, out)
	}
	var answer struct {
		Nodes []struct {
			Name    string `json:"name"`
			Session *struct {
				Generation string `json:"generation"`
			} `json:"session"`
		} `json:"nodes"`
	}
	s.must(json.Unmarshal([]byte(out), &answer))
	var served []string
	for _, node := range answer.Nodes {
		if node.Session != nil && node.Session.Generation != "" {
			served = append(served, node.Name)
		}
	}
	slices.Sort(served)
	if want := []string{workerA, workerB, keeper}; !slices.Equal(served, want) {
		s.t.Errorf("in session and given work are %v, and not %v: %s", served, want, out)
	}

	for _, refused := range []struct{ who, token, method, code string }{
		{"an operator without the role", s.token("mallory", audience), "ListNodes", "PermissionDenied"},
		{"a viewer, who may not change anything,", s.token(viewer, audience), "RetryNode", "PermissionDenied"},
		{"an operator's token for the API server", s.token(viewer, ""), "ListNodes", "Unauthenticated"},
		{"nobody", "", "ListNodes", "Unauthenticated"},
	} {
		if out, err := s.grpcurl(address, refused.token, fleet+refused.method); err == nil || !strings.Contains(out, refused.code) {
			s.t.Errorf("%s is answered to %s: %v: %s", refused.who, refused.method, err, out)
		}
	}
}

// forward forwards a port to the dispatcher for as long as the test lasts, as `kubectl port-forward` does, and returns where it is.
func (s *site) forward() string {
	s.t.Helper()
	config := s.cluster.Config()
	// A forwarded port lives as long as it is wanted.
	config.Timeout = 0
	transport, upgrader, err := spdy.RoundTripperFor(config)
	s.must(err)
	url := s.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(s.pods("dispatcher")[0].Name).SubResource("portforward").URL()
	stop, ready, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	forwarder, err := portforward.New(spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, url), []string{"0:8443"}, stop, ready, io.Discard, io.Discard)
	s.must(err)
	go func() { ended <- forwarder.ForwardPorts() }()
	s.t.Cleanup(func() {
		close(stop)
		if err := <-ended; err != nil {
			s.t.Logf("the forwarded port: %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		s.t.Fatalf("forward a port: %v", err)
	}
	ports, err := forwarder.GetPorts()
	s.must(err)
	return fmt.Sprintf("localhost:%d", ports[0].Local)
}

// grpcurl calls a method with a token, trusting the CA of the installation's ConfigMap, and returns what it prints.
func (s *site) grpcurl(address, token, method string) (string, error) {
	s.t.Helper()
	path := os.Getenv("GRPCURL")
	if path == "" {
		s.t.Fatal("GRPCURL is not set: make test-kube brings grpcurl")
	}
	authority, err := s.client.CoreV1().ConfigMaps(namespace).Get(s.t.Context(), release+"-ca", metav1.GetOptions{})
	s.must(err)
	file := filepath.Join(s.t.TempDir(), "ca.crt")
	s.must(os.WriteFile(file, []byte(authority.Data["ca.crt"]), 0o600))
	arguments := []string{"-cacert", file}
	if token != "" {
		arguments = append(arguments, "-H", "authorization: Bearer "+token)
	}
	out, err := exec.CommandContext(s.t.Context(), path, append(arguments, address, method)...).CombinedOutput()
	return string(out), err
}
