module multinic.dev/executor

go 1.26.0

replace multinic.dev/proto => ../proto

replace multinic.dev/testbed => ../testbed

require github.com/google/renameio/v2 v2.0.2
