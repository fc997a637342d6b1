package kube_test

import (
	"testing"

	"multinic.dev/lab/kube"
)

func TestMain(m *testing.M) { kube.Main(m) }
