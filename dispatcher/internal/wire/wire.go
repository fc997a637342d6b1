// Package wire translates between the dispatcher's values and the protocol's messages.
package wire

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"multinic.dev/dispatcher/internal/inventory"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// MaxResults is how many results a report may have: an item and a removal for each interface of a full picture.
const MaxResults = 2 * inventory.MaxItems

// mostRowIDs is how many ids an item names: they are for logs, and thousands of equal rows must not make a picture too large.
const mostRowIDs = 64

// FromKey makes a message of a key.
func FromKey(key inventory.Key) *multinicv1.Key {
	return &multinicv1.Key{MacAddress: key.MAC, VlanId: uint32(key.VLAN)}
}

// ToKey makes a key of a message; nil is the zero Key.
func ToKey(key *multinicv1.Key) inventory.Key {
	return inventory.Key{MAC: key.GetMacAddress(), VLAN: int(key.GetVlanId())}
}

// FromSpec makes a message of a spec.
func FromSpec(is inventory.Spec) *multinicv1.InterfaceSpec {
	spec := &multinicv1.InterfaceSpec{Mtu: uint32(is.MTU), DnsServers: texts(is.DNS)}
	if is.Address.IsValid() {
		spec.Address = is.Address.String()
	}
	if is.Gateway.IsValid() {
		spec.Gateway = is.Gateway.String()
	}

	return spec
}

// FromItem makes a message of an item.
func FromItem(item inventory.Item) *multinicv1.WorkItem {
	return &multinicv1.WorkItem{
		Key: FromKey(item.Key), RowIds: item.Rows[:min(len(item.Rows), mostRowIDs)], Revision: item.Revision, Spec: FromSpec(item.Spec),
	}
}

func texts(addresses []netip.Addr) []string {
	words := make([]string, 0, len(addresses))
	for _, address := range addresses {
		words = append(words, address.String())
	}

	return words
}

// FromWorkSet makes a message of a picture.
func FromWorkSet(work inventory.WorkSet) *multinicv1.WorkSet {
	items := make([]*multinicv1.WorkItem, 0, len(work.Items))
	for _, item := range work.Items {
		items = append(items, FromItem(item))
	}

	removals := make([]*multinicv1.Key, 0, len(work.Removals))
	for _, key := range work.Removals {
		removals = append(removals, FromKey(key))
	}

	return &multinicv1.WorkSet{Generation: work.Generation, Items: items, Removals: removals, RetryGeneration: work.Retry}
}

// ToReport is what a report says, as far as anything is decided by it.
func ToReport(report *multinicv1.NodeReport) inventory.Report {
	said := inventory.Report{
		Generation: report.GetGeneration(), Taken: map[inventory.Key]*inventory.Standing{}, Present: map[inventory.Key]bool{},
	}
	for _, result := range report.GetResults() {
		key := ToKey(result.GetKey())
		switch {
		case result.GetRevision() == "": // Of no item of this session.
		case result.GetState() == multinicv1.State_STATE_READY:
			said.Proofs = append(said.Proofs, inventory.Proof{Key: key, Revision: result.GetRevision(), Generation: result.GetVerifiedGeneration()})
		case isSettled(result.GetState()):
			said.Disproofs = append(said.Disproofs, inventory.Disproof{Key: key, Revision: result.GetRevision()})
		}
		if result.GetReason() == multinicv1.Reason_REASON_NO_FREE_NAME {
			said.Nameless++
		}
		if result.GetTaken() {
			said.Taken[key] = toStanding(result.GetProved())
			said.Present[key] = result.GetObserved().GetLinkIndex() != 0
		}
	}

	return said
}

// isSettled says whether a state that is not READY disproves what it is of. One that is not known may be anything.
func isSettled(state multinicv1.State) bool {
	switch state {
	case multinicv1.State_STATE_WAITING_FOR_LINK, multinicv1.State_STATE_FAILED, multinicv1.State_STATE_REFUSED,
		multinicv1.State_STATE_UNSUPPORTED, multinicv1.State_STATE_PLANNED:
		return true
	case multinicv1.State_STATE_UNSPECIFIED, multinicv1.State_STATE_APPLYING, multinicv1.State_STATE_READY:
	}

	return false
}

// toStanding is what an interface was last proved to be; nil: nothing, or nothing that can be understood.
func toStanding(spec *multinicv1.InterfaceSpec) *inventory.Standing {
	if spec == nil {
		return nil
	}
	standing := &inventory.Standing{MTU: int(spec.GetMtu())}
	var err error
	if text := spec.GetAddress(); text != "" {
		if standing.Address, err = netip.ParsePrefix(text); err != nil {
			return nil
		}
	}
	if text := spec.GetGateway(); text != "" {
		if standing.Gateway, err = netip.ParseAddr(text); err != nil {
			return nil
		}
	}

	return standing
}

// FromStanding is what an interface was last proved to be, as the protocol has it.
func FromStanding(standing *inventory.Standing) *multinicv1.InterfaceSpec {
	if standing == nil {
		return nil
	}

	return FromSpec(inventory.Spec{Address: standing.Address, Gateway: standing.Gateway, MTU: standing.MTU})
}

// mac is a MAC address as the protocol has it.
var mac = regexp.MustCompile(`^([0-9a-f]{2}:){5}[0-9a-f]{2}$`)

// maxVLAN is the highest 802.1Q id that is not reserved.
const maxVLAN = 4094

// CheckReport says what in a report no executor may send.
func CheckReport(report *multinicv1.NodeReport) error {
	if count := len(report.GetResults()); count > MaxResults {
		return fmt.Errorf("a report has %d results; %d are allowed", count, MaxResults)
	}
	seen := make(map[inventory.Key]bool, len(report.GetResults()))
	for i, result := range report.GetResults() {
		key := ToKey(result.GetKey())
		switch {
		case !mac.MatchString(key.MAC) || key.VLAN > maxVLAN:
			return fmt.Errorf("result %d has the key %q, VLAN %d, which is none", i, key.MAC, key.VLAN)
		case len(result.GetRevision()) > maxText:
			return fmt.Errorf("result %d has a revision of %d bytes; %d are allowed", i, len(result.GetRevision()), maxText)
		case seen[key]:
			return fmt.Errorf("two results have the key %s, VLAN %d", key.MAC, key.VLAN)
		}
		seen[key] = true
	}

	return nil
}

// Limits on what is kept of a report, which operators are shown as it is: bytes of a text, and texts of a list. What executors
// send is far below.
const (
	maxMessage = 2048
	maxText    = 256
	maxTexts   = 64
)

// Bound cuts what is too long in a report, so that no node takes more of the dispatcher's memory, or of an operator's page, than
// any other. Keys and revisions are left whole: they are compared.
func Bound(report *multinicv1.NodeReport) {
	cut := func(text *string, most int) {
		if len(*text) > most {
			*text = strings.ToValidUTF8((*text)[:most], "") + "…"
		}
	}
	list := func(texts *[]string) {
		*texts = (*texts)[:min(len(*texts), maxTexts)]
		for i := range *texts {
			cut(&(*texts)[i], maxText)
		}
	}
	for _, result := range report.GetResults() {
		cut(&result.Message, maxMessage)
		cut(&result.InterfaceName, maxText)
		if observed := result.GetObserved(); observed != nil {
			list(&observed.Addresses)
			list(&observed.Routes)
			list(&observed.Rules)
		}
		list(&result.Planned)
		if proved := result.GetProved(); proved != nil {
			cut(&proved.Address, maxText)
			cut(&proved.Gateway, maxText)
			list(&proved.DnsServers)
		}
	}
	if facts := report.GetFacts(); facts != nil {
		for _, text := range []*string{&facts.ExecutorVersion, &facts.KernelRelease, &facts.Backend, &facts.Activation, &facts.Mode} {
			cut(text, maxText)
		}
	}
	report.ProtoReflect().SetUnknown(nil)
}
