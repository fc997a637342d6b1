//go:build !race

package program

// raceFlags are those with which the programs are built: as the test that runs them is.
func raceFlags() []string { return []string{"-trimpath"} }
