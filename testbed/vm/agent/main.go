// Command agent does in a virtual machine of the testbed what the machine asks for. It is the first process of the guest's
// initrd, where it makes the disk the guest's root and puts itself beside it; from there systemd starts it as a service.
package main

import (
	"fmt"
	"os"
)

func main() {
	if os.Getpid() == 1 {
		err := beInit()
		fmt.Fprintf(os.Stderr, "agent: start the guest: %v\n", err)
		os.Exit(1) // The kernel panics, which ends the machine.
	}
	if err := serve(); err != nil {
		fmt.Fprintf(os.Stderr, "agent: %v\n", err)
		os.Exit(1)
	}
}
