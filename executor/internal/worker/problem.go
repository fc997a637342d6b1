package worker

import (
	"errors"
	"fmt"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/transaction"
	"multinic.dev/executor/internal/work"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// obstacleProblem words an obstacle as the protocol does.
func obstacleProblem(obstacle plan.Obstacle, message string) work.Problem {
	problem := work.Problem{State: multinicv1.State_STATE_REFUSED, Message: message}
	switch obstacle {
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
	case plan.NameInUse:
		problem.Reason = multinicv1.Reason_REASON_NAME_IN_USE
	}

	return problem
}

// failureProblem words what failed in a transaction as the protocol does.
func failureProblem(failure transaction.Failure) work.Problem {
	problem := work.Problem{State: multinicv1.State_STATE_FAILED, Message: failure.Cause().Error()}
	switch failure.Kind {
	case transaction.Persist:
		return persistProblem(failure.Cause())
	case transaction.Lasting:
		problem.Reason = multinicv1.Reason_REASON_PERSIST_FAILED
	case transaction.Blocked:
		return obstacleProblem(failure.Obstacle, failure.Cause().Error())
	case transaction.InUse:
		problem.Reason = multinicv1.Reason_REASON_ADDRESS_IN_USE
		problem.Message += ": give one of the two another address"
	case transaction.Unverified:
		problem.Reason = multinicv1.Reason_REASON_VERIFICATION_FAILED
	case transaction.Guarded:
		problem.Reason = multinicv1.Reason_REASON_UNDERLAY_LOST
		if errors.Is(failure.Err, transaction.ErrPathChanged) {
			problem.Reason = multinicv1.Reason_REASON_PATH_CHANGED
		}
	case transaction.Refused, transaction.Unfinished:
		problem.Reason = multinicv1.Reason_REASON_APPLY_FAILED
	}
	if errors.Is(failure.Err, plan.ErrNoVLANs) {
		problem.State, problem.Reason = multinicv1.State_STATE_UNSUPPORTED, multinicv1.Reason_REASON_VLAN_UNSUPPORTED
	}

	return problem
}

// unfinished says that something of a transaction is still to be put back.
func unfinished(err error) work.Problem {
	return failureProblem(transaction.Failure{Kind: transaction.Unfinished, Err: fmt.Errorf("what a transaction has left is still to be put back: %w", err)})
}

// persistProblem says that the record could not be written.
func persistProblem(err error) work.Problem {
	return work.Problem{
		State: multinicv1.State_STATE_FAILED, Reason: multinicv1.Reason_REASON_PERSIST_FAILED,
		Message: fmt.Sprintf("%v: see to it that the state directory can be written", err),
	}
}

// lacking says that the kernel is not what it should be, by what would make it so.
func lacking(changes []plan.Change) work.Problem { return unverified(transaction.Lacking(changes)) }

// planned says what would be done, were the executor not to observe alone.
func planned(changes []plan.Change) work.Problem {
	return work.Problem{
		State:   multinicv1.State_STATE_PLANNED,
		Message: fmt.Sprintf("%d changes would be made, and are not: this executor only observes (--mode=observe)", len(changes)),
	}
}

// unverified says that the kernel was not seen to be what it should be.
func unverified(message string) work.Problem {
	return work.Problem{State: multinicv1.State_STATE_FAILED, Reason: multinicv1.Reason_REASON_VERIFICATION_FAILED, Message: message}
}
