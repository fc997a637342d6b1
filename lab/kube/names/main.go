// Program names is CoreDNS with what the lab's clusters need of it: the names of services, from the API server.
//
// It stands in a module of its own, as the components do, and apart from them: so Kubernetes is not built anew for it.
package main

import (
	_ "github.com/coredns/coredns/plugin/bind"       // listens on one address alone
	_ "github.com/coredns/coredns/plugin/errors"     // says what failed
	_ "github.com/coredns/coredns/plugin/kubernetes" // the cluster's names
	_ "github.com/coredns/coredns/plugin/ready"      // says when it knows them

	"github.com/coredns/coredns/coremain"
)

func main() { coremain.Run() }
