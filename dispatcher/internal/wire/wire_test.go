package wire_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"multinic.dev/dispatcher/internal/wire"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

func TestWhatIsTooLongInAReportIsCutAndWhatIsComparedIsNot(t *testing.T) {
	long := strings.Repeat("ü", 1<<16)
	many := make([]string, 1000)
	for i := range many {
		many[i] = long
	}
	result := func(key *multinicv1.Key) *multinicv1.WorkResult {
		return &multinicv1.WorkResult{
			Key: key, Revision: "r", Message: long, InterfaceName: long,
			Observed: &multinicv1.Observed{Addresses: many, Routes: many, Rules: many},
		}
	}
	key := &multinicv1.Key{MacAddress: "02:00:5e:00:53:01", VlanId: 7}
	report := &multinicv1.NodeReport{
		Results: []*multinicv1.WorkResult{result(key)},
		Facts:   &multinicv1.NodeFacts{ExecutorVersion: long, KernelRelease: long, Backend: long, Activation: long},
	}
	wire.Bound(report)
	if size := proto.Size(report); size > 64<<10 {
		t.Errorf("%d bytes are left", size)
	}
	// What is cut is text still, or it could not be sent to an operator.
	if _, err := proto.Marshal(report); err != nil {
		t.Error(err)
	}
	if got := report.GetResults()[0]; !proto.Equal(got.GetKey(), key) || got.GetRevision() != "r" || !strings.HasSuffix(got.GetMessage(), "ü…") {
		t.Errorf("key %v, revision %s, message %.20s", got.GetKey(), got.GetRevision(), got.GetMessage())
	}

	short := &multinicv1.NodeReport{Results: []*multinicv1.WorkResult{{Key: key, Revision: "r", Message: "m", InterfaceName: "multinic0"}}}
	before := proto.CloneOf(short)
	if wire.Bound(short); !proto.Equal(short, before) {
		t.Errorf("a short report has become %v", short)
	}
}
