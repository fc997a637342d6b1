package inventory_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"multinic.dev/dispatcher/internal/inventory"
	"multinic.dev/dispatcher/internal/row"
)

// How a fuzzed text is cut into rows and these into columns: by what no table has for any other reason.
const (
	betweenRows    = "\x1e"
	betweenColumns = "\x1f"
)

// rowsIn are the rows that a text describes; a column that is not there is NULL.
func rowsIn(text string) []row.Row {
	var rows []row.Row
	for i, one := range strings.Split(text, betweenRows) {
		r := row.Row{
			ID: int64(i + 1), Node: row.Text("node"), MAC: row.Null(), Address: row.Null(), Mask: row.Null(), Gateway: row.Null(), DNS: row.Null(),
			VLAN: row.Null(), MTU: row.Null(),
		}
		columns := strings.Split(one, betweenColumns)
		for i, field := range []*row.Value{&r.MAC, &r.Address, &r.Mask, &r.Gateway, &r.DNS, &r.VLAN, &r.MTU} {
			if i < len(columns) {
				*field = row.Text(columns[i])
			}
		}
		rows = append(rows, r)
	}

	return rows
}

// FuzzRows: whatever stands in the rows of a node, each is work within the limits, or is refused with a reason that can be shown.
func FuzzRows(f *testing.F) {
	for _, seed := range seeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rows := rowsIn(text)
		if len(rows) > 2*inventory.MaxItems {
			t.Skip("more rows than any limit needs")
		}
		items, verdicts := inventory.Judge(rows)
		checkItems(t, items)
		checkVerdicts(t, rows, items, verdicts)
		checkOrder(t, rows, items, verdicts)
		checkRevisions(t, rows)
	})
}

// seeds are a good row, one with each odd value in each of its columns, and rows that are not of one mind.
func seeds() []string {
	columns := []string{"02:00:5e:00:53:01", "192.0.2.10", "255.255.255.0", "192.0.2.1", "198.51.100.1, 198.51.100.2", "7", "1400"}
	line := func(at int, value string) string {
		changed := slices.Clone(columns)
		changed[at] = value

		return strings.Join(changed, betweenColumns)
	}
	good := strings.Join(columns, betweenColumns)
	all := []string{
		"", good, columns[0], good + betweenRows + good, good + betweenRows + line(1, "192.0.2.11"), good + betweenRows + line(5, ""),
		line(2, "31"), line(2, "32") + betweenRows + line(2, "255.255.255.255"), line(1, ""), line(0, "02-00-5E-00-53-01") + betweenRows + line(0, "0200.5e00.5301"),
		strings.Repeat(good+betweenRows, 12) + line(1, "x"),
	}
	for at, value := range []string{"02:00:5e:00:53:02", "192.0.2.11", "25", "192.0.2.2", "198.51.100.2, 198.51.100.1", "8", "1401"} {
		all = append(all, good+betweenRows+line(at, value))
	}
	for at := range columns {
		for _, value := range []string{
			"", " \t", "0", "1", "7", "8", "128.0.0.0", "-1", "-0", "+1", "1.5", "0x1p3", "1e3", "4094", "4095", "65537", "4294967297", "18446744073709551617", "0.0.0.0", "255.0.255.0",
			"255.255.255.255", "127.0.0.1", "169.254.0.1", "224.0.0.1", "192.0.2.0", "192.0.2.255", "203.0.113.1", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1%eth0",
			"01:00:5e:00:00:01", "00:00:00:00:00:00", "02005e005301", "02:00-5e:00:53:01", "\x00", "\n", "\u2028", "\"'`$(x);--", "\U0001F4A3", "\xff\xf0\x9f",
			strings.Repeat("9", 5000), strings.Repeat("x", 62) + "\U0001F4A3", strings.Repeat("\xbf", 80), strings.Repeat("1.1.1.1,", 17),
		} {
			all = append(all, line(at, value))
		}
	}
	var many []string
	for vlan := range inventory.MaxItems + 2 {
		many = append(many, line(5, strconv.Itoa(vlan)))
	}

	return append(all, strings.Join(many, betweenRows))
}

var unicastMAC = regexp.MustCompile(`^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$`)

// checkItems holds items against the limits, in another way than the parser does.
func checkItems(t *testing.T, items []inventory.Item) {
	t.Helper()
	if len(items) > inventory.MaxItems || !slices.IsSortedFunc(items, func(a, b inventory.Item) int { return a.Key.Compare(b.Key) }) {
		t.Errorf("%d items, or not in order: %+v", len(items), items)
	}
	for i, item := range items {
		spec := item.Spec
		switch {
		case !unicastMAC.MatchString(item.Key.MAC) || item.Key.MAC == "00:00:00:00:00:00":
			t.Errorf("MAC %q", item.Key.MAC)
		case item.Key.VLAN < 0 || item.Key.VLAN > 4094 || spec.MTU != 0 && (spec.MTU < 68 || spec.MTU > 65535):
			t.Errorf("VLAN %d, MTU %d", item.Key.VLAN, spec.MTU)
		case i > 0 && items[i-1].Key == item.Key:
			t.Errorf("two items of %v", item.Key)
		case !spec.Address.IsValid() && (spec.Gateway.IsValid() || len(spec.DNS) > 0):
			t.Errorf("a gateway or servers without an address: %+v", spec)
		case len(spec.DNS) > 16 || slices.ContainsFunc(spec.DNS, isNoHost):
			t.Errorf("servers %v", spec.DNS)
		case spec.Address.IsValid():
			checkSubnet(t, spec)
		}
	}
}

// isNoHost says whether no host has an address.
func isNoHost(address netip.Addr) bool {
	for _, block := range []string{"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"} {
		if netip.MustParsePrefix(block).Contains(address) {
			return true
		}
	}

	return !address.Is4()
}

func checkSubnet(t *testing.T, spec inventory.Spec) {
	t.Helper()
	number := func(a netip.Addr) uint32 { return binary.BigEndian.Uint32(a.AsSlice()) }
	bits := spec.Address.Bits()
	if isNoHost(spec.Address.Addr()) || bits < 8 || bits > 32 {
		t.Fatalf("address %v", spec.Address)
	}
	mask := ^uint32(0) << (32 - bits)
	network, broadcast := number(spec.Address.Addr())&mask, number(spec.Address.Addr())|^mask
	isEdge := func(a netip.Addr) bool { return bits < 31 && (number(a) == network || number(a) == broadcast) }
	if isEdge(spec.Address.Addr()) {
		t.Errorf("address %v", spec.Address)
	}
	if !spec.Gateway.IsValid() {
		return
	}
	if isNoHost(spec.Gateway) || spec.Gateway == spec.Address.Addr() || isEdge(spec.Gateway) || bits < 32 && number(spec.Gateway)&mask != network {
		t.Errorf("gateway %v of %v", spec.Gateway, spec.Address)
	}
}

// checkVerdicts holds verdicts against rows and items: each row has one, in the order of the ids; what is accepted is part of one
// item, and what is not has a reason.
func checkVerdicts(t *testing.T, rows []row.Row, items []inventory.Item, verdicts []inventory.Verdict) {
	t.Helper()
	of := map[int64]inventory.Key{}
	for _, item := range items {
		for _, id := range item.Rows {
			if _, twice := of[id]; twice || !slices.IsSorted(item.Rows) {
				t.Errorf("row %d is in two items, or is not in order: %v", id, item.Rows)
			}
			of[id] = item.Key
		}
	}
	if len(verdicts) != len(rows) {
		t.Fatalf("%d verdicts for %d rows", len(verdicts), len(rows))
	}
	for i, verdict := range verdicts {
		key, worked := of[verdict.Row]
		if accepted := verdict.Outcome == inventory.Accepted; verdict.Row != rows[i].ID || accepted != worked || accepted != (verdict.Message == "") ||
			accepted && verdict.Key != key {
			t.Errorf("verdict %+v of row %+v, which is work under %v, %v", verdict, rows[i], key, worked)
		}
		if verdict.Message != "" {
			checkMessage(t, rows[i], verdict)
		}
	}
}

// mostMessage is more than any message has, in bytes: most of it is a value, of which each byte may be four characters.
const mostMessage = 512

// checkMessage says whether a reason can be shown wherever one is, and whether it names a column and what the row has in it.
func checkMessage(t *testing.T, r row.Row, verdict inventory.Verdict) {
	t.Helper()
	message := verdict.Message
	isOdd := func(c rune) bool { return !unicode.IsPrint(c) }
	if !utf8.ValidString(message) || strings.ContainsFunc(message, isOdd) || len(message) > mostMessage {
		t.Errorf("a message that cannot be shown: %q", message)
	}
	if verdict.Outcome == inventory.Conflict {
		if !strings.Contains(message, " ask for different things under mac_address "+verdict.Key.MAC+" and vlan ") {
			t.Errorf("a conflict's message: %s", message)
		}

		return
	}
	column, rest, _ := strings.Cut(message, " ")
	value, found := map[string]row.Value{
		"mac_address": r.MAC, "ip_address": r.Address, "subnet_mask": r.Mask, "gateway": r.Gateway, "dns": r.DNS, "vlan": r.VLAN, "mtu": r.MTU,
	}[column]
	quoted, err := strconv.QuotedPrefix(rest)
	switch {
	case strings.HasPrefix(message, "the node has more than 64 interfaces"):
	case !found:
		t.Errorf("a message that names no column: %s", message)
	case err != nil:
		if strings.Trim(value.Text, " \t") != "" || !strings.HasPrefix(rest, "is empty: ") {
			t.Errorf("a message of %q: %s", value.Text, message)
		}
	default:
		shown, err := strconv.Unquote(quoted)
		if beginning, cut := strings.CutSuffix(shown, "…"); cut && len(beginning) <= 64 && len(beginning) > 60 {
			shown = beginning
		}
		if utf8.ValidString(value.Text) && !utf8.ValidString(shown) {
			t.Errorf("a message that cuts a character: %s", message)
		}
		if err != nil || shown == "" || !strings.Contains(value.Text, shown) {
			t.Errorf("a message of %q shows %q (%v): %s", value.Text, shown, err, message)
		}
	}
}

// checkOrder says whether the order of the rows matters to anything.
func checkOrder(t *testing.T, rows []row.Row, items []inventory.Item, verdicts []inventory.Verdict) {
	t.Helper()
	half := len(rows) / 2
	for _, other := range [][]row.Row{slices.Concat(rows[half:], rows[:half]), reversed(rows)} {
		if again, verdictsAgain := inventory.Judge(other); !reflect.DeepEqual(again, items) || !reflect.DeepEqual(verdictsAgain, verdicts) {
			t.Errorf("in another order there are\n%+v\n%+v\nand not\n%+v\n%+v", again, verdictsAgain, items, verdicts)
		}
	}
}

func reversed(rows []row.Row) []row.Row {
	other := slices.Clone(rows)
	slices.Reverse(other)

	return other
}

// checkRevisions says whether revisions are equal where content is, and only there; and whether an item, written as a row, is the
// same item again.
func checkRevisions(t *testing.T, rows []row.Row) {
	t.Helper()
	contents := map[string]string{}
	for _, r := range rows {
		items, _ := inventory.Judge([]row.Row{r})
		if len(items) == 0 {
			continue
		}
		item := items[0]
		content := fmt.Sprintf("%+v %+v", item.Key, item.Spec)
		if other, known := contents[item.Revision]; known && other != content {
			t.Errorf("the revision %s is that of %s and of %s", item.Revision, content, other)
		}
		contents[item.Revision] = content

		again, verdicts := inventory.Judge([]row.Row{written(r, item)})
		if !reflect.DeepEqual(again, items) {
			t.Errorf("%+v, written as a row, becomes %+v (%+v)", items, again, verdicts)
		}
	}
	byContent := map[string]string{}
	for revision, content := range contents {
		if other, known := byContent[content]; known {
			t.Errorf("%s has the revisions %s and %s", content, revision, other)
		}
		byContent[content] = revision
	}
}

// written is an item as a row.
func written(r row.Row, item inventory.Item) row.Row {
	r.MAC, r.VLAN, r.MTU = row.Text(item.Key.MAC), row.Text(strconv.Itoa(item.Key.VLAN)), row.Text(strconv.Itoa(item.Spec.MTU))
	r.Address, r.Mask, r.Gateway, r.DNS = row.Null(), row.Null(), row.Null(), row.Null()
	if item.Spec.Address.IsValid() {
		r.Address, r.Mask = row.Text(item.Spec.Address.Addr().String()), row.Text(strconv.Itoa(item.Spec.Address.Bits()))
	}
	if item.Spec.Gateway.IsValid() {
		r.Gateway = row.Text(item.Spec.Gateway.String())
	}
	var servers []string
	for _, server := range item.Spec.DNS {
		servers = append(servers, server.String())
	}
	r.DNS = row.Text(strings.Join(servers, " "))

	return r
}
