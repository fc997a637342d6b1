package chart_test

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/grpc"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"

	multinicv1 "multinic.dev/proto/multinic/v1"
)

// TestRoles hold what their names say: every method of FleetService, reflection, without which grpcurl finds no method, and nothing of the
// executors'.
func TestRoles(t *testing.T) {
	rendered := template(t, enough()...)
	viewer, operator := find(t, rendered, "ClusterRole", "-viewer"), find(t, rendered, "ClusterRole", "-operator")
	for _, service := range []grpc.ServiceDesc{
		multinicv1.FleetService_ServiceDesc, multinicv1.DispatchService_ServiceDesc,
		reflectionv1.ServerReflection_ServiceDesc, reflectionv1alpha.ServerReflection_ServiceDesc,
	} {
		var methods []string
		for _, method := range service.Methods {
			methods = append(methods, method.MethodName)
		}
		for _, stream := range service.Streams {
			methods = append(methods, stream.StreamName)
		}
		if len(methods) == 0 {
			t.Errorf("%s has no method", service.ServiceName)
		}
		for _, method := range methods {
			url := "/" + service.ServiceName + "/" + method
			executors := service.ServiceName == multinicv1.DispatchService_ServiceDesc.ServiceName
			changes := method == "RetryNode" || method == "ReleaseGuard"
			if got, want := lets(operator, url), !executors; got != want {
				t.Errorf("an operator may call %s: %t", url, got)
			}
			if got, want := lets(viewer, url), !executors && !changes; got != want {
				t.Errorf("a viewer may call %s: %t", url, got)
			}
		}
	}
}

// lets says whether a role lets its holder get a path, as Kubernetes' RBAC decides it: a path is meant exactly, or by what stands before a *
// at its end.
func lets(role object, url string) bool {
	for _, rule := range asList(role.at("rules")) {
		if fmt.Sprint(asMap(rule)["verbs"]) != "[get]" {
			continue
		}
		for _, pattern := range asList(asMap(rule)["nonResourceURLs"]) {
			pattern, _ := pattern.(string)
			before, open := strings.CutSuffix(pattern, "*")
			if pattern == url || open && strings.HasPrefix(url, before) {
				return true
			}
		}
	}

	return false
}

// TestTheDocumentationHasTheSameRoles for those who install without the chart.
func TestTheDocumentationHasTheSameRoles(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Who may call the dispatcher\n")
	_, block, _ := strings.Cut(section, "\n```yaml\n")
	block, _, _ = strings.Cut(block, "\n```\n")
	rendered := template(t, enough()...)
	for _, suffix := range []string{"-viewer", "-operator"} {
		got, want := find(t, block, "ClusterRole", suffix)["rules"], find(t, rendered, "ClusterRole", suffix)["rules"]
		if want == nil || !reflect.DeepEqual(got, want) {
			t.Errorf("docs/operations.md gives a role …%s\n%v\nand the chart\n%v", suffix, got, want)
		}
	}
}
