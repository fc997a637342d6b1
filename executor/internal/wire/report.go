package wire

import (
	"strings"
	"unicode"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/work"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// FromReport makes the message that a report is on a stream. A report of another stream's set says what the node has all
// the same, but neither under which generation it was verified nor of which revision it speaks: both are names that
// only the dispatcher of that stream gave. Facts are what does not change.
func FromReport(report work.Report, stream uint64, facts *multinicv1.NodeFacts) *multinicv1.NodeReport {
	facts = proto.CloneOf(facts)
	facts.Activation = report.Activation
	message := &multinicv1.NodeReport{Facts: facts}
	if report.Generation.Stream == stream {
		message.Generation = report.Generation.Number
	}
	for _, result := range report.Results {
		its := fromResult(result)
		switch {
		case report.Generation.Stream != stream:
			its.Revision = ""
		case result.Ready() && result.Revision != "":
			its.VerifiedGeneration = report.Generation.Number
		}
		message.Results = append(message.Results, its)
	}

	return message
}

func fromResult(result work.Result) *multinicv1.WorkResult {
	message := &multinicv1.WorkResult{
		Key:      &multinicv1.Key{MacAddress: result.Key.MAC, VlanId: uint32(result.Key.VLAN)},
		Revision: result.Revision, State: result.State(), Reason: result.Problem.Reason, Message: printable(result.Problem.Message),
		InterfaceName: result.Name, Observed: fromObserved(result.Observed), Attempts: result.Attempts,
		Taken: result.Taken, Proved: fromSpec(result.Proved), Planned: allPrintable(result.Planned),
	}
	if !result.NextRetry.IsZero() {
		message.NextRetry = timestamppb.New(result.NextRetry)
	}

	return message
}

func fromSpec(spec *plan.Spec) *multinicv1.InterfaceSpec {
	if spec == nil {
		return nil
	}
	message := &multinicv1.InterfaceSpec{Mtu: uint32(spec.MTU)}
	if spec.Address.IsValid() {
		message.Address = spec.Address.String()
	}
	if spec.Gateway.IsValid() {
		message.Gateway = spec.Gateway.String()
	}

	return message
}

func fromObserved(observed *plan.Observed) *multinicv1.Observed {
	if observed == nil {
		return nil
	}

	return &multinicv1.Observed{
		LinkIndex: uint32(observed.Link), Up: observed.Up, Mtu: uint32(observed.MTU),
		Addresses: observed.Addresses, Routes: allPrintable(observed.Routes), Rules: allPrintable(observed.Rules),
	}
}

// printable is a text with U+FFFD for whatever cannot be printed. A link's name may hold any byte, and a message with one that
// is no UTF-8 could not be sent at all.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}

		return unicode.ReplacementChar
	}, text)
}

func allPrintable(texts []string) []string {
	var all []string
	for _, text := range texts {
		all = append(all, printable(text))
	}

	return all
}
