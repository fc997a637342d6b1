package mariadb

import (
	"fmt"
	"strings"
)

// database is the name of the database that every server has.
const database = "multinic"

// Table is the statement that creates the table as controllers deploy it.
const Table = `CREATE TABLE multi_interface (
    id INT PRIMARY KEY AUTO_INCREMENT,
    attached_node_name VARCHAR(255),
    mac_address VARCHAR(17),
    netplan_success INT DEFAULT 0,
    ip_address VARCHAR(15),
    subnet_mask VARCHAR(15),
    gateway VARCHAR(15),
    dns VARCHAR(255),
    vlan INT DEFAULT 0,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP
)`

// Grants are the statements that give an account the rights of a dispatcher, and no other.
func Grants(user string) string {
	return fmt.Sprintf("GRANT SELECT, UPDATE (netplan_success) ON multi_interface TO '%s'@'%%'", user)
}

// setUp is the SQL that makes a fresh server ready.
func (s *Server) setUp() string {
	statements := []string{
		fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", s.root.User, s.root.Password),
		fmt.Sprintf("GRANT ALL ON *.* TO '%s'@'%%' WITH GRANT OPTION", s.root.User),
		fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", s.controller.User, s.controller.Password),
		fmt.Sprintf("GRANT ALL ON %s.* TO '%s'@'%%'", database, s.controller.User),
		fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", s.dispatcher.User, s.dispatcher.Password),
	}
	if !s.opts.bare {
		statements = append(statements, Table, Grants(s.dispatcher.User))
	}
	return strings.Join(statements, ";\n") + ";\n"
}
