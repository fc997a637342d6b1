// Package pace measures how long an executor takes for rows, wherever it runs.
package pace

import (
	"fmt"
	"slices"
	"time"

	multinicv1 "multinic.dev/proto/multinic/v1"
)

const (
	// Cards is how many cards a node has that are multinic's: as many as it can have.
	Cards = 10
	// addresses is how many each card has in turn, all in one subnet with those of the others.
	addresses = 24
)

// Rows are one row for each card of a node, with an address.
type Rows struct {
	mac     func(card int) string
	changes [Cards]int
}

// NewRows returns rows for the cards with MAC addresses.
func NewRows(mac func(card int) string) *Rows { return &Rows{mac: mac} }

// Change gives as many of the cards another address as are to be changed, and returns the rows of all.
func (r *Rows) Change(count int) []*multinicv1.WorkItem {
	var all []*multinicv1.WorkItem
	for card := range r.changes {
		if card < count {
			r.changes[card]++
		}
		address := fmt.Sprintf("10.1.0.%d/24", 10+10*(r.changes[card]%addresses)+card) //nolint:mnd // the last digit is the card's
		all = append(all, &multinicv1.WorkItem{
			Key: &multinicv1.Key{MacAddress: r.mac(card)}, Revision: address, Spec: &multinicv1.InterfaceSpec{Address: address},
		})
	}

	return all
}

// Median is the median of what took so long, of an odd number of times.
func Median(took []time.Duration) time.Duration {
	slices.Sort(took)

	return took[len(took)/2]
}
