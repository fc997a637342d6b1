package deploy_test

import (
	"testing"

	"multinic.dev/testbed/sandbox"
)

func TestMain(m *testing.M) { sandbox.Main(m) }
