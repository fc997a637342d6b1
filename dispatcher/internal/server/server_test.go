package server_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"multinic.dev/dispatcher/internal/identity"
	"multinic.dev/dispatcher/internal/server"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// fragile panics when it is asked for a node, and answers for all nodes.
type fragile struct {
	multinicv1.UnimplementedFleetServiceServer
}

func (fragile) GetNode(context.Context, *multinicv1.GetNodeRequest) (*multinicv1.GetNodeResponse, error) {
	panic("broken")
}

func (fragile) ListNodes(context.Context, *multinicv1.ListNodesRequest) (*multinicv1.ListNodesResponse, error) {
	return &multinicv1.ListNodesResponse{}, nil
}

// serve serves the fragile service, and returns a connection, the log, and the metrics.
func serve(t *testing.T) (*grpc.ClientConn, *observer.ObservedLogs, *prometheus.Registry) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	registry := prometheus.NewRegistry()
	made, err := server.New(server.Services{
		Dispatch: multinicv1.UnimplementedDispatchServiceServer{}, Fleet: fragile{}, Health: health.NewServer(),
	}, identity.Insecure{}, zap.New(core), registry)
	if err != nil {
		t.Fatal(err)
	}
	listener := bufconn.Listen(1 << 16)
	var serving sync.WaitGroup
	serving.Go(func() { _ = made.Serve(listener) })
	connection, err := grpc.NewClient("passthrough:", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = connection.Close()
		made.Stop()
		serving.Wait()
	})

	return connection, logs, registry
}

func TestAPanicFailsItsOwnCallAlone(t *testing.T) {
	connection, logs, _ := serve(t)
	client := multinicv1.NewFleetServiceClient(connection)
	_, err := client.GetNode(t.Context(), &multinicv1.GetNodeRequest{})
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "broken") {
		t.Errorf("the call ended with %v", err)
	}
	if _, err := client.ListNodes(t.Context(), &multinicv1.ListNodesRequest{}); err != nil {
		t.Errorf("the next call: %v", err)
	}
	panicked := logs.FilterMessage("a call panicked").All()
	if len(panicked) != 1 || panicked[0].ContextMap()["cause"] != "broken" {
		t.Errorf("the log has %v", panicked)
	}
}

func TestCallsAreLoggedAndCounted(t *testing.T) {
	connection, logs, registry := serve(t)
	if _, err := multinicv1.NewFleetServiceClient(connection).ListNodes(t.Context(), &multinicv1.ListNodesRequest{}); err != nil {
		t.Fatal(err)
	}
	if finished := logs.FilterMessage("finished call").All(); len(finished) != 1 || finished[0].ContextMap()["grpc.method"] != "ListNodes" {
		t.Errorf("the log has %v", logs.All())
	}
	if handled := handled(t, registry); handled != 1 {
		t.Errorf("%v calls were counted", handled)
	}
}

// handled is how many calls were counted.
func handled(t *testing.T, registry *prometheus.Registry) (calls float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "grpc_server_handled_total" {
			for _, metric := range family.GetMetric() {
				calls += metric.GetCounter().GetValue()
			}
		}
	}

	return calls
}

// TestQuestionsForHealthAreCountedAndNotLogged as whoever has any identity at all may ask as often as it likes.
func TestQuestionsForHealthAreCountedAndNotLogged(t *testing.T) {
	connection, logs, registry := serve(t)
	if _, err := healthv1.NewHealthClient(connection).Check(t.Context(), &healthv1.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	if logs.Len() > 0 {
		t.Errorf("the log has %v", logs.All())
	}
	if handled := handled(t, registry); handled != 1 {
		t.Errorf("%v calls were counted", handled)
	}
}

func TestAClientFindsOutWhatThereIs(t *testing.T) {
	connection, _, _ := serve(t)
	stream, err := reflectionv1.NewServerReflectionClient(connection).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
	}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, service := range answer.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "grpc.health.v1.Health grpc.reflection.v1.ServerReflection grpc.reflection.v1alpha.ServerReflection"+
		" multinic.v1.DispatchService multinic.v1.FleetService" {
		t.Errorf("services %s", got)
	}
	alive, err := healthv1.NewHealthClient(connection).Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || alive.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health %v, error %v", alive, err)
	}
}
