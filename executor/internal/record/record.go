// Package record keeps the state file: which card has which name, what it was before it had it, and
// what was last proved of its interfaces.
package record

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"multinic.dev/executor/internal/durable"
	"multinic.dev/executor/internal/plan"
)

// version is the format of the file. It grows when an older executor could misread a newer file.
const version = 2

// fileName is the file's name in the state directory.
const fileName = "interfaces.json"

// Card is one card that is multinic's.
type Card struct {
	// MAC is the card's permanent address, six lower-case octets with colons. Unique in a record.
	MAC string `json:"mac"`
	// Name is the card's name, such as "multinic0". Unique in a record.
	Name string `json:"name"`
	// Was is what the card was before.
	Was *Was `json:"was,omitempty"`
	// Interfaces are those of the card that are multinic's, ordered by VLAN. None: the card has given up its last one, and is
	// about to get another or to be given up itself.
	Interfaces []Interface `json:"interfaces"`
}

// Interface is one interface of a card.
type Interface struct {
	// VLAN is the 802.1Q id; 0: the untagged interface.
	VLAN int `json:"vlan"`
	// Proved is what the kernel was last seen to be. Nil: it is claimed, and nothing has been proved yet.
	Proved *plan.Spec `json:"proved,omitempty"`
}

// Was is what a card was before it was multinic's, and which link it then was: a card that is plugged in again is another.
type Was struct {
	plan.Original

	// Link is the kernel's index of the link, in the boot with the id Boot.
	Link int    `json:"link"`
	Boot string `json:"boot"`
}

// Record is the content of the file. Not safe for concurrent use: it belongs to the one goroutine that configures the
// node. Nobody else may write the file meanwhile.
type Record struct {
	path  string
	cards []Card // ordered by MAC
}

// content is the file, as JSON.
type content struct {
	Version int    `json:"version"`
	Cards   []Card `json:"cards"`
}

// Open reads the record in a state directory; a directory without one has an empty record. A file that cannot be
// understood is an error that names it, and stays as it is: the cards in it are configured, and forgetting them would
// make them look like somebody else's.
func Open(dir string) (*Record, error) {
	r := &Record{path: filepath.Join(dir, fileName)}
	data, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the record of this node's interfaces: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	var c content
	if err := decoder.Decode(&c); err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): restore it, or move it away once no link is named multinic*", r.path, err)
	}
	if c.Version != version {
		return nil, fmt.Errorf("%s has format %d and this executor knows only %d: run the version that wrote it", r.path, c.Version, version)
	}
	r.cards = c.Cards
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): restore it, or move it away once no link is named multinic*", r.path, err)
	}
	return r, nil
}

// check says what in the record cannot be.
func (r *Record) check() error {
	slices.SortFunc(r.cards, func(a, b Card) int { return cmp.Compare(a.MAC, b.MAC) })
	names := map[string]string{}
	for i, each := range r.cards {
		switch {
		case each.MAC == "" || each.Name == "":
			return fmt.Errorf("a card with MAC %q and name %q", each.MAC, each.Name)
		case i > 0 && r.cards[i-1].MAC == each.MAC:
			return fmt.Errorf("%s stands in it twice", each.MAC)
		case names[each.Name] != "":
			return fmt.Errorf("%s is the name of both %s and %s", each.Name, names[each.Name], each.MAC)
		}
		names[each.Name] = each.MAC
		slices.SortFunc(each.Interfaces, func(a, b Interface) int { return a.VLAN - b.VLAN })
		for j, one := range each.Interfaces {
			if j > 0 && each.Interfaces[j-1].VLAN == one.VLAN {
				return fmt.Errorf("VLAN %d of %s stands in it twice", one.VLAN, each.MAC)
			}
		}
	}
	return nil
}

// Cards returns a copy of all cards, ordered by MAC.
func (r *Record) Cards() []Card {
	cards := slices.Clone(r.cards)
	for i := range cards {
		cards[i].Interfaces = slices.Clone(cards[i].Interfaces)
	}
	return cards
}

// Claims are the cards as plans know them.
func (r *Record) Claims() plan.Claims { return Claims(r.cards) }

// Claims are cards as plans know them.
func Claims(cards []Card) plan.Claims {
	claims := make(plan.Claims, len(cards))
	for _, card := range cards {
		claim := plan.Claim{Name: card.Name}
		for _, one := range card.Interfaces {
			claim.VLANs = append(claim.VLANs, one.VLAN)
		}
		claims[card.MAC] = claim
	}
	return claims
}

// Claim writes down that a card gets a name, and has an interface, before anything is done to it: an executor that is killed
// in the middle then still knows the card as its own. Was is what the card is before; it is kept for as long as the card is
// the same link. The same again costs nothing. A card that has another name is an error; one that has the name, but is not
// this one, loses it.
func (r *Record) Claim(key plan.Key, name string, was Was) error {
	cards := r.Cards()
	i := slices.IndexFunc(cards, func(each Card) bool { return each.MAC == key.MAC })
	if i >= 0 && cards[i].Name != name {
		return fmt.Errorf("claim %s for %s: it is %s already, and names are never exchanged", name, key.MAC, cards[i].Name)
	}
	if i < 0 {
		cards = slices.DeleteFunc(cards, func(each Card) bool { return each.Name == name })
		cards = append(cards, Card{MAC: key.MAC, Name: name})
		i = len(cards) - 1
	}
	card := &cards[i]
	changed := false
	// A card that bears one of our names already was named by us, before what is known of it.
	isAnother := card.Was != nil && (card.Was.Link != was.Link || card.Was.Boot != was.Boot) && !plan.IsOurName(was.Name)
	if card.Was == nil || isAnother {
		card.Was, changed = &was, true
	}
	if !slices.ContainsFunc(card.Interfaces, func(one Interface) bool { return one.VLAN == key.VLAN }) {
		card.Interfaces, changed = append(card.Interfaces, Interface{VLAN: key.VLAN}), true
	}
	if !changed {
		return nil
	}
	return r.write(cards)
}

// Prove writes down what the kernel was seen to be for a claimed interface. The same again costs nothing.
func (r *Record) Prove(key plan.Key, spec plan.Spec) error {
	cards := r.Cards()
	one := find(cards, key)
	if one == nil {
		return fmt.Errorf("record what %s, VLAN %d, was proved to be: it was never claimed", key.MAC, key.VLAN)
	}
	if one.Proved != nil && *one.Proved == spec {
		return nil
	}
	one.Proved = &spec
	return r.write(cards)
}

func find(cards []Card, key plan.Key) *Interface {
	for _, card := range cards {
		for i := range card.Interfaces {
			if card.MAC == key.MAC && card.Interfaces[i].VLAN == key.VLAN {
				return &card.Interfaces[i]
			}
		}
	}
	return nil
}

// Release forgets interfaces of a card or, if whole, the card with all that it has. What is forgotten already costs nothing.
func (r *Record) Release(mac string, vlans []int, whole bool) error {
	cards := r.Cards()
	for i := range cards {
		if cards[i].MAC == mac {
			cards[i].Interfaces = slices.DeleteFunc(cards[i].Interfaces, func(one Interface) bool { return slices.Contains(vlans, one.VLAN) })
		}
	}
	return r.writeIfNew(slices.DeleteFunc(cards, func(card Card) bool { return whole && card.MAC == mac }))
}

// Restore makes what is known of a card what it was, and gives a card its name back that lost it to this one. Before are all
// cards as they were.
func (r *Record) Restore(mac string, before []Card) error {
	cards := slices.DeleteFunc(r.Cards(), func(card Card) bool { return card.MAC == mac })
	for _, was := range before {
		if !slices.ContainsFunc(cards, func(card Card) bool { return card.MAC == was.MAC || card.Name == was.Name }) {
			cards = append(cards, was)
		}
	}
	return r.writeIfNew(cards)
}

func (r *Record) writeIfNew(cards []Card) error {
	next := Record{path: r.path, cards: cards}
	if err := next.check(); err != nil {
		return fmt.Errorf("write %s: %w", r.path, err)
	}
	was, err := json.Marshal(r.cards)
	if err != nil {
		return fmt.Errorf("write %s: %w", r.path, err)
	}
	is, err := json.Marshal(next.cards)
	if err != nil || bytes.Equal(was, is) {
		return err //nolint:wrapcheck // it can hardly fail where the one before did not
	}
	return r.write(cards)
}

// write puts a new record in the place of the old one, on the disk and then in memory: the old one stays whole, in
// both, until the new one is safe.
func (r *Record) write(cards []Card) error {
	next := Record{path: r.path, cards: cards}
	if err := next.check(); err != nil {
		return fmt.Errorf("write %s: %w", r.path, err)
	}
	data, err := json.MarshalIndent(content{Version: version, Cards: next.cards}, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", r.path, err)
	}
	if err := durable.Write(r.path, append(data, '\n')); err != nil {
		return fmt.Errorf("record this node's interfaces: %w", err)
	}
	r.cards = next.cards
	return nil
}
