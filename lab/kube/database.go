package kube

import (
	"fmt"

	"multinic.dev/testbed/mariadb"
)

// databaseAddress is where a database is: nowhere on the nodes' own network (RFC 5737).
const databaseAddress = "198.51.100.77"

// StartDatabase starts a database with the table, on an address that pods reach by their nodes' default route. It has an account of a
// dispatcher, which may do what docs/install.md says, and no more. It ends with the test.
func (c *Cluster) StartDatabase(user, password string) *mariadb.Server {
	c.t.Helper()
	c.ip("address", "add", databaseAddress+"/32", "dev", "lo")
	c.t.Cleanup(func() { c.ip("address", "delete", databaseAddress+"/32", "dev", "lo") })
	db := mariadb.Start(c.t, mariadb.WithAddress(databaseAddress))
	account := fmt.Sprintf("CREATE USER '%[1]s'@'%%' IDENTIFIED BY '%[2]s'; "+
		"GRANT SELECT, UPDATE (netplan_success) ON multinic.multi_interface TO '%[1]s'@'%%'", user, password)
	if err := db.Exec(c.t.Context(), account); err != nil {
		c.t.Fatalf("make the dispatcher's account: %v", err)
	}
	return db
}
