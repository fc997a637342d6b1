package wire_test

import (
	"net/netip"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/wire"
	"multinic.dev/executor/internal/work"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

func theReport() work.Report {
	return work.Report{Generation: work.Generation{Stream: 2, Number: 9}, Results: []work.Result{
		{
			Key: plan.Key{MAC: macA}, Revision: "r1", Name: "multinic0", Observed: &plan.Observed{
				Link: 4, Up: true, MTU: 1500, Addresses: []string{"192.0.2.10/24"}, Routes: []string{"a route"}, Rules: []string{"a rule"},
			}, Taken: true, Proved: &plan.Spec{Address: netip.MustParsePrefix("192.0.2.10/24"), Gateway: netip.MustParseAddr("192.0.2.1"), MTU: 1400},
		},
		{
			Key: plan.Key{MAC: macA, VLAN: 5}, Revision: "r2", Attempts: 3, NextRetry: time.Unix(1_700_000_000, 0), Problem: work.Problem{
				State: multinicv1.State_STATE_FAILED, Reason: multinicv1.Reason_REASON_APPLY_FAILED, Message: "no",
			},
		},
		{Key: plan.Key{MAC: macB}, Name: "multinic1", Planned: []string{"link set eth1 name multinic1"}, Proved: &plan.Spec{}},
	}}
}

func TestAReportBecomesAMessage(t *testing.T) {
	facts := &multinicv1.NodeFacts{Backend: "netlink"}
	const first = `{"key": {"macAddress": "02:00:00:00:00:0a"}, "state": "STATE_READY", "interfaceName": "multinic0",
		"observed": {"linkIndex": 4, "up": true, "mtu": 1500, "addresses": ["192.0.2.10/24"], "routes": ["a route"], "rules": ["a rule"]},
		"taken": true, "proved": {"address": "192.0.2.10/24", "gateway": "192.0.2.1", "mtu": 1400}`
	const second = `{"key": {"macAddress": "02:00:00:00:00:0a", "vlanId": 5}, "state": "STATE_FAILED", "reason": "REASON_APPLY_FAILED", "message": "no",
		"attempts": 3, "nextRetry": "2023-11-14T22:13:20Z"`
	const third = `{"key": {"macAddress": "02:00:00:00:00:0b"}, "state": "STATE_READY", "interfaceName": "multinic1", "planned": ["link set eth1 name multinic1"], "proved": {}}`
	for _, test := range []struct {
		name   string
		stream uint64
		want   string
	}{
		{"its own stream", 2, `{"generation": "9", "results": [` + first + `, "revision": "r1", "verifiedGeneration": "9"}, ` + second + `, "revision": "r2"}, ` + third + `], "facts": {"backend": "netlink"}}`},
		{"another stream", 3, `{"results": [` + first + `}, ` + second + `}, ` + third + `], "facts": {"backend": "netlink"}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var want multinicv1.NodeReport
			if err := protojson.Unmarshal([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			if got := wire.FromReport(theReport(), test.stream, facts); !proto.Equal(got, &want) {
				t.Errorf("got %s\nwant %s", protojson.Format(got), protojson.Format(&want))
			}
		})
	}
}
