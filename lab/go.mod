module multinic.dev/lab

go 1.26.0

replace multinic.dev/proto => ../proto

replace multinic.dev/testbed => ../testbed
