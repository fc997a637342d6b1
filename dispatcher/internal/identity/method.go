package identity

import (
	"strings"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"

	multinicv1 "multinic.dev/proto/multinic/v1"
)

// whose says for whom a method is.
type whose int

const (
	// nobodys is a method that the dispatcher does not have.
	nobodys whose = iota
	// executors is one of the nodes' side.
	executors
	// operators is one of the operators' side.
	operators
	// anybodys is for whoever can prove who it is.
	anybodys
)

// methodOf says for whom a method, such as /multinic.v1.FleetService/GetNode, is.
func methodOf(path string) whose {
	service, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch service {
	case multinicv1.DispatchService_ServiceDesc.ServiceName:
		return executors
	case multinicv1.FleetService_ServiceDesc.ServiceName, reflectionv1.ServerReflection_ServiceDesc.ServiceName,
		reflectionv1alpha.ServerReflection_ServiceDesc.ServiceName:
		return operators
	case healthv1.Health_ServiceDesc.ServiceName:
		return anybodys
	default:
		return nobodys
	}
}

// Proves says whether a call of a method that was let in shows that its caller is an executor or an operator. A call of the health service does
// not: that is for whoever has any credential at all, such as each pod of the cluster.
func Proves(method string) bool {
	of := methodOf(method)

	return of == executors || of == operators
}
