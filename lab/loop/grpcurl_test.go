package loop_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// grpcurl runs the pinned grpcurl against a fleet's dispatcher, and returns what it printed, errors too.
func grpcurl(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	path := os.Getenv("GRPCURL")
	if path == "" {
		install := exec.CommandContext(t.Context(), filepath.Join("..", "..", "tools", "install"), "grpcurl")
		install.Stderr = os.Stderr
		folder, err := install.Output()
		if err != nil {
			t.Fatalf("build grpcurl, for which there is no network in here (make test does it before): %v", err)
		}
		path = filepath.Join(strings.TrimSpace(string(folder)), "grpcurl")
	}
	said, err := exec.CommandContext(t.Context(), path, append([]string{"-plaintext", "-unix"}, arguments...)...).CombinedOutput()
	return string(said), err
}

func TestOperatorsLookWithGrpcurl(t *testing.T) {
	f, n, rows := running(t, 1)
	said, err := grpcurl(t, f.Socket(), "list")
	if want := "grpc.health.v1.Health\ngrpc.reflection.v1.ServerReflection\ngrpc.reflection.v1alpha.ServerReflection\n" +
		"multinic.v1.DispatchService\nmultinic.v1.FleetService\n"; err != nil || said != want {
		t.Errorf("services %s, error %v", said, err)
	}

	said, err = grpcurl(t, "-d", `{"name": "`+n.Name()+`"}`, f.Socket(), "multinic.v1.FleetService/GetNode")
	if err != nil {
		t.Fatalf("get a node: %v: %s", err, said)
	}
	var answer struct {
		Node struct {
			Name       string `json:"name"`
			Interfaces []struct {
				Result struct {
					State         string `json:"state"`
					InterfaceName string `json:"interfaceName"`
					Observed      struct {
						Addresses []string `json:"addresses"`
					} `json:"observed"`
				} `json:"result"`
			} `json:"interfaces"`
			Rows []struct {
				NetplanSuccess bool `json:"netplanSuccess"`
			} `json:"rows"`
		} `json:"node"`
	}
	if err := json.Unmarshal([]byte(said), &answer); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	if len(answer.Node.Interfaces) != 1 || len(answer.Node.Rows) != 1 || !answer.Node.Rows[0].NetplanSuccess {
		t.Fatalf("the node is %s", said)
	}
	result := answer.Node.Interfaces[0].Result
	if result.State != "STATE_READY" || result.InterfaceName != "multinic0" || strings.Join(result.Observed.Addresses, " ") != rows[0].Address+"/24" {
		t.Errorf("the node is %s", said)
	}

	said, err = grpcurl(t, "-d", `{"name": "nobody"}`, f.Socket(), "multinic.v1.FleetService/GetNode")
	if err == nil || !strings.Contains(said, "Code: NotFound") || !strings.Contains(said, `node "nobody" is unknown`) {
		t.Errorf("an unknown node: error %v: %s", err, said)
	}
	said, err = grpcurl(t, "-d", `{"filter": {"settled": false}}`, f.Socket(), "multinic.v1.FleetService/ListNodes")
	if err != nil || strings.TrimSpace(said) != "{}" {
		t.Errorf("nodes that are not settled: error %v: %s", err, said)
	}
	f.Until(func() bool {
		said, err = grpcurl(t, f.Socket(), "grpc.health.v1.Health/Check")
		return strings.Contains(said, `"status": "SERVING"`)
	},
		func() string { return fmt.Sprintf("health: error %v: %s", err, said) })
}
