package worker

import (
	"fmt"
	"strings"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/work"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// obstacleProblem words an obstacle as the protocol does.
func obstacleProblem(decision plan.Decision) work.Problem {
	problem := work.Problem{State: multinicv1.State_STATE_REFUSED, Message: decision.Message}
	switch decision.Obstacle {
	case plan.None:
		return work.Problem{}
	case plan.LinkNotFound:
		problem.State, problem.Reason = multinicv1.State_STATE_WAITING_FOR_LINK, multinicv1.Reason_REASON_LINK_NOT_FOUND
	case plan.LinkAmbiguous:
		problem.Reason = multinicv1.Reason_REASON_LINK_AMBIGUOUS
	case plan.LinkInUse:
		problem.Reason = multinicv1.Reason_REASON_LINK_IN_USE
	case plan.NoFreeName:
		problem.Reason = multinicv1.Reason_REASON_NO_FREE_NAME
	case plan.SpecInvalid:
		problem.Reason = multinicv1.Reason_REASON_SPEC_INVALID
	case plan.SubnetConflict:
		problem.Reason = multinicv1.Reason_REASON_SUBNET_CONFLICT
	case plan.Unsupported:
		problem.State, problem.Reason = multinicv1.State_STATE_UNSUPPORTED, multinicv1.Reason_REASON_SPEC_UNKNOWN
	}

	return problem
}

// applyProblem says that the kernel refused a change.
func applyProblem(err error) work.Problem {
	return work.Problem{State: multinicv1.State_STATE_FAILED, Reason: multinicv1.Reason_REASON_APPLY_FAILED, Message: err.Error()}
}

// persistProblem says that the record could not be written.
func persistProblem(err error) work.Problem {
	return work.Problem{
		State: multinicv1.State_STATE_FAILED, Reason: multinicv1.Reason_REASON_PERSIST_FAILED,
		Message: fmt.Sprintf("%v: see to it that the state directory can be written", err),
	}
}

// lacking says that the kernel is not what it should be, by what would make it so.
func lacking(changes []plan.Change) work.Problem {
	const most = 5 // Whoever reads it needs the kind of the trouble, not all of it.
	var words []string
	for _, change := range changes[:min(len(changes), most)] {
		words = append(words, change.String())
	}
	if more := len(changes) - most; more > 0 {
		words = append(words, fmt.Sprintf("%d more", more))
	}

	return unverified("the kernel still lacks: " + strings.Join(words, "; "))
}

// unverified says that the kernel was not seen to be what it should be.
func unverified(message string) work.Problem {
	return work.Problem{State: multinicv1.State_STATE_FAILED, Reason: multinicv1.Reason_REASON_VERIFICATION_FAILED, Message: message}
}
