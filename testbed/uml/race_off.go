//go:build !race

package uml

// raceEnabled says whether this program has the race detector in it.
const raceEnabled = false
