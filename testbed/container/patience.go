package container

import "time"

const (
	// patience is how long anything that a container is asked for may take: systemd itself gives up on a unit after a
	// minute and a half. A boot takes half a second.
	patience = 100 * time.Second
	// letGo is how long the output of a program that has ended may still be held by what it has started.
	letGo = 2 * time.Second

	// toEnd is what is left of a test's deadline when the container is switched off after it was said what was waited for, which takes
	// milliseconds.
	toEnd = 5 * time.Second
)
