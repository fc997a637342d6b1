package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"multinic.dev/executor/internal/plan"
)

// Rules are read and written here and not by netlink.Rule: that one leaves suppress_prefixlength out for tables above 255
// without an error, and says nothing of conditions that it does not know, so that a rule for marked packets alone could
// look like one of ours.

// noSuppress is what the kernel says where suppress_prefixlength is off.
const noSuppress = 0xffffffff

// ruleInvert is FIB_RULE_INVERT of linux/fib_rules.h.
const ruleInvert = 0x2

// actionTable is FR_ACT_TO_TBL of linux/fib_rules.h.
const actionTable = 1

// request is a request on the raw socket.
func (k *Kernel) request(messageType, flags int) *nl.NetlinkRequest {
	return &nl.NetlinkRequest{
		NlMsghdr: unix.NlMsghdr{Len: unix.SizeofNlMsghdr, Type: uint16(messageType), Flags: unix.NLM_F_REQUEST | uint16(flags)},
		Sockets:  map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: k.requests},
	}
}

func (k *Kernel) rules() ([]plan.Rule, error) {
	request := k.request(unix.RTM_GETRULE, unix.NLM_F_DUMP)
	request.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET}})
	messages, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWRULE)
	if err != nil {
		return nil, err //nolint:wrapcheck // Read says what was attempted
	}
	rules := make([]plan.Rule, 0, len(messages))
	for _, message := range messages {
		rule, err := ruleOf(message)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// ruleOf understands a rule's message. What it does not know makes the rule a foreign one.
func ruleOf(message []byte) (plan.Rule, error) {
	if len(message) < unix.SizeofRtMsg {
		return plan.Rule{}, fmt.Errorf("understand a rule of %d bytes", len(message))
	}
	header := nl.DeserializeRtMsg(message)
	attributes, err := nl.ParseRouteAttr(message[unix.SizeofRtMsg:])
	if err != nil {
		return plan.Rule{}, fmt.Errorf("understand a rule: %w", err)
	}
	// The header is struct fib_rule_hdr, whose action is where a route has its type.
	rule := plan.Rule{
		Table: int(header.Table),
		Other: header.Type != actionTable || header.Flags&ruleInvert != 0 || header.Tos != 0 || header.Dst_len != 0,
	}
	for _, attribute := range attributes {
		value := attribute.Value
		number := uint32(0)
		if len(value) == 4 {
			number = binary.NativeEndian.Uint32(value)
		}
		switch attribute.Attr.Type {
		case nl.FRA_PRIORITY:
			rule.Preference = int(number)
		case nl.FRA_TABLE:
			rule.Table = int(number)
		case nl.FRA_SRC:
			source, ok := netip.AddrFromSlice(value)
			rule.From = netip.PrefixFrom(source, int(header.Src_len))
			rule.Other = rule.Other || !ok
		case nl.FRA_PROTOCOL:
			if len(value) == 1 {
				rule.Protocol = int(value[0])
			}
		case nl.FRA_SUPPRESS_PREFIXLEN:
			rule.WithoutDefault = number == 0
			rule.Other = rule.Other || number != 0 && number != noSuppress
		case nl.FRA_PAD:
		default:
			rule.Other = true
		}
	}
	return rule, nil
}

// addRule adds a rule that is not there yet. NLM_F_EXCL would not do: to it, a rule for fewer packets is the same.
func (k *Kernel) addRule(rule plan.Rule) error {
	has, err := whole(k.rules)
	if err != nil || slices.Contains(has, rule) {
		return err
	}
	return k.changeRule(unix.RTM_NEWRULE, unix.NLM_F_CREATE, rule)
}

// removeRule takes a rule away if it is there. The kernel takes the first that has all that is asked for, and has no words
// for "and nothing else": a foreign rule that it would take instead stops us.
func (k *Kernel) removeRule(rule plan.Rule) error {
	has, err := whole(k.rules)
	if err != nil || !slices.Contains(has, rule) {
		return err
	}
	first := slices.IndexFunc(has, func(r plan.Rule) bool {
		return r.Preference == rule.Preference && r.Table == rule.Table && r.Protocol == rule.Protocol &&
			(r.From == rule.From || !rule.From.IsValid()) && (r.WithoutDefault || !rule.WithoutDefault)
	})
	if has[first].Other {
		return errors.New("a rule like it, with further conditions, stands before it, and the kernel would take that one away: delete one of them by hand")
	}
	return k.changeRule(unix.RTM_DELRULE, 0, rule)
}

// changeRule adds a rule, or takes one away.
func (k *Kernel) changeRule(messageType, flags int, rule plan.Rule) error {
	request := k.request(messageType, flags|unix.NLM_F_ACK)
	header := &nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET, Type: actionTable}}
	request.AddData(header)
	if rule.From.IsValid() {
		header.Src_len = uint8(rule.From.Bits())
		request.AddData(nl.NewRtAttr(nl.FRA_SRC, rule.From.Addr().AsSlice()))
	}
	request.AddData(nl.NewRtAttr(nl.FRA_PRIORITY, nl.Uint32Attr(uint32(rule.Preference))))
	request.AddData(nl.NewRtAttr(nl.FRA_TABLE, nl.Uint32Attr(uint32(rule.Table))))
	request.AddData(nl.NewRtAttr(nl.FRA_PROTOCOL, nl.Uint8Attr(uint8(rule.Protocol))))
	if rule.WithoutDefault {
		request.AddData(nl.NewRtAttr(nl.FRA_SUPPRESS_PREFIXLEN, nl.Uint32Attr(0)))
	}
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	return err //nolint:wrapcheck // Apply says what was attempted
}
