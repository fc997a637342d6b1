package worker

import (
	"testing"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/work"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

func TestEachObstacleHasItsStateAndReason(t *testing.T) {
	const (
		waiting = multinicv1.State_STATE_WAITING_FOR_LINK
		refused = multinicv1.State_STATE_REFUSED
	)
	for obstacle, want := range map[plan.Obstacle]work.Problem{
		plan.None:           {},
		plan.LinkNotFound:   {State: waiting, Reason: multinicv1.Reason_REASON_LINK_NOT_FOUND, Message: "why"},
		plan.LinkAmbiguous:  {State: refused, Reason: multinicv1.Reason_REASON_LINK_AMBIGUOUS, Message: "why"},
		plan.LinkInUse:      {State: refused, Reason: multinicv1.Reason_REASON_LINK_IN_USE, Message: "why"},
		plan.NoFreeName:     {State: refused, Reason: multinicv1.Reason_REASON_NO_FREE_NAME, Message: "why"},
		plan.SpecInvalid:    {State: refused, Reason: multinicv1.Reason_REASON_SPEC_INVALID, Message: "why"},
		plan.SubnetConflict: {State: refused, Reason: multinicv1.Reason_REASON_SUBNET_CONFLICT, Message: "why"},
		plan.NameInUse:      {State: refused, Reason: multinicv1.Reason_REASON_NAME_IN_USE, Message: "why"},
	} {
		if got := obstacleProblem(obstacle, "why"); got != want {
			t.Errorf("obstacle %d: %+v, want %+v", obstacle, got, want)
		}
	}
}

func TestALongListOfWhatTheKernelLacksIsCut(t *testing.T) {
	var changes []plan.Change
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		changes = append(changes, plan.SetUp{Name: name})
	}
	const want = "the kernel still lacks: link set a up; link set b up; link set c up; link set d up; link set e up; 2 more"
	if got := lacking(changes).Message; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
