// Package transaction changes a node's cards so that each, with its VLANs, ends either as it should be or as it was.
package transaction

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"go.uber.org/zap"

	"multinic.dev/executor/internal/plan"
	"multinic.dev/executor/internal/record"
)

// passes is how often a card is changed before it is put back: a kernel does more at a change than it was told, and a VLAN that
// is made has an index only then; what is left after as many is put there again by somebody else.
const passes = 4

// Kernel is what a transaction asks of the node's kernel.
type Kernel interface {
	// Read reads what the kernel has.
	Read(ctx context.Context) (plan.Kernel, error)
	// Surroundings adds to what was read what stands on the kernel's links in other network namespaces, and who else configures NICs.
	Surroundings(ctx context.Context, kernel *plan.Kernel) error
	// Settings reads those of plan.Settings() that the link with a name has, by their Path.
	Settings(name string) (map[string]string, error)
	// Apply makes one change. What is so already is no error. An error says what was attempted, and why the kernel refused.
	Apply(change plan.Change) error
}

// Read reads what a kernel has, with its surroundings where items need them to be known.
func Read(ctx context.Context, kernel Reader, items []plan.Item, claims plan.Claims) (plan.Kernel, error) {
	has, err := kernel.Read(ctx)
	if err == nil {
		err = lookAround(ctx, kernel, items, claims, &has)
	}
	if err != nil {
		return plan.Kernel{}, fmt.Errorf("read what the kernel has: %w", err)
	}
	return has, nil
}

// Reader is what Read asks of a kernel.
type Reader interface {
	Read(ctx context.Context) (plan.Kernel, error)
	Surroundings(ctx context.Context, kernel *plan.Kernel) error
}

// lookAround adds a kernel's surroundings to what was read of it, where items need them to be known.
func lookAround(ctx context.Context, kernel Reader, items []plan.Item, claims plan.Claims, has *plan.Kernel) error {
	if !plan.Takes(items, claims, *has) {
		return nil
	}
	return kernel.Surroundings(ctx, has)
}

// Record is what outlives the executor of which card has which name, and what was proved of it; see package record.
type Record interface {
	Cards() []record.Card
	Claim(key plan.Key, name string, was record.Was) error
	Prove(key plan.Key, spec plan.Spec) error
	Release(mac string, vlans []int, whole bool) error
	Restore(mac string, before []record.Card) error
}

// Keeper keeps what must be put back if a transaction does not end; see Journal.
type Keeper interface {
	Read() (*Entry, error)
	Begin(entry Entry) error
	End() error
}

// Wanted is an address that a link is about to get.
type Wanted struct {
	Link    int
	Address netip.Addr
}

// Prober finds out whether others on the wire have an address.
type Prober interface {
	// InUse returns, for each of wanted, the MAC of a host on the link's wire that has the address; empty: none was heard. It
	// takes no longer for many than for one. Own are the MACs of the node's own links, whose answers do not count.
	InUse(ctx context.Context, wanted []Wanted, own []string) ([]string, error)
}

// Persister has what outlives a boot, where anything does; see package netplan. Kernel then reads what it has.
type Persister interface {
	// Check says, for each of configs, why it could not be persisted, or nil. It changes nothing.
	Check(ctx context.Context, configs []plan.Config) []error
	// Persist has the next boot make of NICs what configs say, and know nothing of those that are forgotten, and proves it. Each NIC
	// is changed at once or not at all. What is so already is no error.
	Persist(ctx context.Context, configs []plan.Config, forget []string) error
	// Sweep removes what was kept of what was persisted before.
	Sweep() error
	// Tidy removes what a process has left half written that was killed, and does what Sweep does. Nothing may have to be put back.
	Tidy() error
}

// Guard watches over the node's own network.
type Guard interface {
	// Begin looks at it before anything is changed, and returns what says afterwards whether it is still as it was: an error
	// says what is not, and makes the whole transaction be put back.
	Begin(ctx context.Context, kernel plan.Kernel, claims plan.Claims) (after func(ctx context.Context) error, err error)
}

// Config is what a Transactor is made of. All of it must be set, but for Manager.
type Config struct {
	Kernel  Kernel
	Record  Record
	Journal Keeper
	Files   Persister
	Prober  Prober
	Guard   Guard
	// Manager makes changes live, where it can; nil: the kernel is always changed. OnlyManager says that nothing is changed that it
	// cannot be told of.
	Manager     Manager
	OnlyManager bool
	Log         *zap.Logger
	// Machine and Boot are the ids of the machine and of its boot.
	Machine, Boot string
}

// Transactor makes transactions, one at a time. Not safe for concurrent use.
type Transactor struct {
	Config

	// unfinished says that something could not be put back yet, stuck is why, and of which cards; nil: that is not known.
	unfinished bool
	stuck      error
	stuckCards []string
	// byManager says that the manager was told of the last changes.
	byManager bool
}

// New returns a Transactor. Recover must be called before anything else.
func New(config Config) *Transactor { return &Transactor{Config: config, unfinished: true} }

// goal is what a transaction is for.
type goal struct {
	// names are the names that the cards have, or are to get, on disk, by their MACs.
	names map[string]string
	// stubs are the definitions by whose DHCP cards have what they have, by their MACs: the manager must be told to let go of those.
	stubs map[string]*plan.Definition
	// left says what is left to be done.
	left func(kernel plan.Kernel, claims plan.Claims) remainder
	// claim writes down whose a card is, before it is changed.
	claim func(mac string, was record.Was) error
	// proved writes down what became of a card, once nothing of it can be put back any more.
	proved func(mac string) error
}

// remainder is what is left of a transaction.
type remainder struct {
	// steps are the changes by the MACs of their cards, in order, and shared are those of what belongs to no card.
	steps  map[string][]step
	shared []plan.Change
	// blocked are what cannot be done, by the interface that is to blame: nothing of its card may be changed.
	blocked Failures
}

// step is one change, and for which interface it is made.
type step struct {
	key    plan.Key
	change plan.Change
}

// run is one transaction.
type run struct {
	*Transactor
	goal

	before  []record.Card
	formers map[string]plan.Former
	// alive are the cards that may still end as they should be, in order.
	alive  []string
	probed map[Wanted]bool
	failed Failures
	kernel plan.Kernel
	// persists are the changes of what outlives a boot, by the MACs of the cards: they come when all else is proved.
	persists map[string]step
}

// transact works through one transaction. What ctx ends is only what was not begun.
func (t *Transactor) transact(ctx context.Context, g goal) Failures {
	if err := t.Recover(ctx); err != nil {
		return t.allFailed(g, Failure{Kind: Unfinished, Err: err})
	}
	t.observe(ctx)
	ctx = context.WithoutCancel(ctx)
	kernel, err := t.readWhole(ctx, slices.Collect(maps.Keys(g.names)))
	if err != nil {
		return t.allFailed(g, Failure{Kind: Unverified, Err: err})
	}
	r := &run{
		Transactor: t, goal: g, before: t.Record.Cards(), formers: map[string]plan.Former{}, probed: map[Wanted]bool{}, failed: Failures{}, kernel: kernel,
	}
	left := g.left(kernel, record.Claims(r.before))
	maps.Copy(r.failed, left.blocked)
	for _, mac := range slices.Sorted(maps.Keys(g.names)) {
		if len(left.steps[mac]) > 0 && !left.blocks(mac) {
			r.alive = append(r.alive, mac)
			r.formers[mac] = plan.FormerOf(mac, []string{g.names[mac]}, kernel)
		}
	}
	if len(r.alive) == 0 {
		return r.settleShared(ctx, left.shared)
	}
	if err := t.Journal.Begin(r.entry(r.alive)); err != nil {
		return t.allFailed(g, Failure{Kind: Persist, Err: err})
	}
	after, err := t.Guard.Begin(ctx, kernel, r.ours(kernel))
	if err != nil {
		r.failAll(left.steps, Failure{Kind: Guarded, Err: err})
	} else {
		r.claimAll(left.steps)
		r.check(ctx, left.steps)
		r.checkStubs(ctx)
		r.make(ctx, left)
	}
	r.finish(ctx, after)
	return r.failed
}

// ours are the claims, with those of the cards that are taken from others: what is lost of these is not the node's.
func (r *run) ours(kernel plan.Kernel) plan.Claims {
	claims := plan.Adopt(record.Claims(r.before), kernel)
	for mac := range r.stubs {
		claims[mac] = plan.Claim{Name: r.names[mac]}
	}
	return claims
}

// macs are those of all cards of a transaction.
func (r *run) macs() []string { return slices.Collect(maps.Keys(r.names)) }

// blocks says whether something of a card cannot be done.
func (l remainder) blocks(mac string) bool {
	for key := range l.blocked {
		if key.MAC == mac {
			return true
		}
	}
	return false
}

// entry is what the journal must keep of some of the cards.
func (r *run) entry(macs []string) Entry {
	entry := Entry{Machine: r.Machine, Boot: r.Boot, Record: r.before}
	for _, mac := range macs {
		entry.Cards = append(entry.Cards, r.formers[mac])
	}
	return entry
}

// allFailed blames every card's steps for what made the whole transaction impossible.
func (t *Transactor) allFailed(g goal, f Failure) Failures {
	failures := Failures{}
	for mac := range g.names {
		failures[plan.Key{MAC: mac, VLAN: wholeCard}] = f
	}
	return failures
}

// claimAll writes down whose the cards are.
func (r *run) claimAll(steps map[string][]step) {
	for _, mac := range slices.Clone(r.alive) {
		if err := r.claim(mac, r.was(mac)); err != nil {
			r.fail(mac, steps[mac][0].key, Failure{Kind: Persist, Err: err})
		}
	}
}

// was is what a card is before it is changed.
func (r *run) was(mac string) record.Was {
	was := record.Was{Boot: r.Boot}
	for _, link := range r.formers[mac].Links {
		if link.Index == r.formers[mac].Card {
			was.Link = link.Index
			was.Original = plan.Original{Name: link.Name, Up: link.Up, MTU: link.MTU, Settings: link.Settings}
		}
	}
	return was
}

// make changes the cards until nothing is left to change, or too often.
func (r *run) make(ctx context.Context, left remainder) {
	steps, shared := r.divide(left.steps), left.shared
	for pass := range passes {
		for _, mac := range slices.Clone(r.alive) {
			prepare, _ := split(steps[mac])
			r.apply(mac, prepare)
		}
		r.probe(ctx, steps)
		r.yield(steps)
		if pass == 0 && (r.activate(ctx) || r.resumes(steps)) {
			var err error
			if steps, shared, err = r.await(ctx); err != nil {
				r.failAll(nil, Failure{Kind: Unverified, Err: err})
				return
			}
		}
		for _, mac := range slices.Clone(r.alive) {
			_, rest := split(steps[mac])
			r.apply(mac, rest)
		}
		if len(r.alive) > 0 {
			r.applyShared(shared)
		}
		var err error
		if steps, shared, err = r.read(ctx); err != nil {
			r.failAll(nil, Failure{Kind: Unverified, Err: err})
			return
		}
		if len(shared) == 0 && !slices.ContainsFunc(r.alive, func(mac string) bool { return len(steps[mac]) > 0 }) {
			return
		}
	}
	for _, mac := range slices.Clone(r.alive) {
		if left := steps[mac]; len(left) > 0 {
			r.fail(mac, left[0].key, Failure{Kind: Unverified, Left: changesOf(left)})
		}
	}
}

// split divides the steps of a card into those that only prepare it, and those that change what it carries: an address is
// probed for between the two.
func split(steps []step) (prepare, rest []step) {
	i := slices.IndexFunc(steps, func(s step) bool {
		switch s.change.(type) {
		case plan.Rename, plan.SetMTU, plan.Set, plan.SetUp, plan.AddVLAN:
			return false
		}
		return true
	})
	if i < 0 {
		return steps, nil
	}
	return steps[:i], steps[i:]
}

// apply makes the steps of a card until one fails: those after it may need it.
func (r *run) apply(mac string, steps []step) {
	for _, s := range steps {
		if err := r.Kernel.Apply(s.change); err != nil {
			r.fail(mac, s.key, Failure{Kind: Refused, Err: err})
			return
		}
	}
}

// applyShared makes the changes of what belongs to no card. What fails there fails no card, and is tried again by the next
// transaction.
func (r *run) applyShared(changes []plan.Change) {
	for _, change := range changes {
		if err := r.Kernel.Apply(change); err != nil {
			r.failed[SharedKey()] = Failure{Kind: Refused, Err: err}
			return
		}
	}
	delete(r.failed, SharedKey())
}

// settleShared is a transaction without any card.
func (r *run) settleShared(ctx context.Context, shared []plan.Change) Failures {
	for range passes {
		if len(shared) == 0 {
			return r.failed
		}
		r.applyShared(shared)
		kernel, err := r.Kernel.Read(ctx)
		if err != nil {
			r.failed[SharedKey()] = Failure{Kind: Unverified, Err: err}
			return r.failed
		}
		shared = r.left(kernel, record.Claims(r.before)).shared
	}
	if _, said := r.failed[SharedKey()]; !said {
		r.failed[SharedKey()] = Failure{Kind: Unverified, Left: shared}
	}
	return r.failed
}

// probe fails the cards that are about to get an address which somebody else has.
func (r *run) probe(ctx context.Context, steps map[string][]step) {
	var wanted []Wanted
	var keys []plan.Key
	for _, mac := range r.alive {
		for _, s := range steps[mac] {
			add, is := s.change.(plan.AddAddress)
			one := Wanted{Link: add.Link, Address: add.Address.Prefix.Addr()}
			if is && one.Address.Is4() && !r.probed[one] {
				r.probed[one] = true
				wanted, keys = append(wanted, one), append(keys, s.key)
			}
		}
	}
	if len(wanted) == 0 {
		return
	}
	var own []string
	for _, link := range r.kernel.Links {
		if link.MAC != "" && !slices.Contains(own, link.MAC) {
			own = append(own, link.MAC)
		}
	}
	holders, err := r.Prober.InUse(ctx, wanted, own)
	for i, key := range keys {
		switch {
		case err != nil:
			r.fail(key.MAC, key, Failure{Kind: Refused, Err: fmt.Errorf("find out whether %s is in use: %w", wanted[i].Address, err)})
		case holders[i] != "":
			r.fail(key.MAC, key, Failure{Kind: InUse, Err: fmt.Errorf("%s is in use on the wire, by %s", wanted[i].Address, holders[i])})
		}
	}
}

// fail ends the part of a card in a transaction. The first failure of a card is the one that counts.
func (r *run) fail(mac string, key plan.Key, f Failure) {
	i := slices.Index(r.alive, mac)
	if i < 0 {
		return
	}
	r.alive = slices.Delete(r.alive, i, i+1)
	r.failed[key] = f
}

func (r *run) failAll(steps map[string][]step, f Failure) {
	for _, mac := range slices.Clone(r.alive) {
		key := plan.Key{MAC: mac, VLAN: wholeCard}
		if f.Kind != Guarded && len(steps[mac]) > 0 {
			key = steps[mac][0].key
		}
		r.fail(mac, key, f)
	}
}
