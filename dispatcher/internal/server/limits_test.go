package server_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"multinic.dev/dispatcher/internal/server"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

func TestACallWhoseQuestionDoesNotComeEndsAfterThirtySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connection, _, _ := serve(t)
		began := time.Now()
		stream, err := connection.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, "/multinic.v1.FleetService/ListNodes")
		if err != nil {
			t.Fatal(err)
		}
		err = stream.RecvMsg(&multinicv1.ListNodesResponse{})
		if status.Code(err) != codes.DeadlineExceeded || time.Since(began) != 30*time.Second {
			t.Errorf("it ended with %v after %v", err, time.Since(began))
		}
	})
}

func TestAConnectionHasEightCallsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connection, _, _ := serve(t)
		client := healthv1.NewHealthClient(connection)
		watch := func(ctx context.Context) error {
			stream, err := client.Watch(ctx, &healthv1.HealthCheckRequest{})
			if err == nil {
				_, err = stream.Recv()
			}

			return err
		}
		first, end := context.WithCancel(t.Context())
		if err := watch(first); err != nil {
			t.Fatal(err)
		}
		for range 7 {
			if err := watch(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := watch(short); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("the ninth: %v", err)
		}
		end()
		if err := watch(t.Context()); err != nil {
			t.Errorf("the ninth, when one has ended: %v", err)
		}
	})
}

func TestThereAreAThousandConnectionsMoreThanSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipe := bufconn.Listen(1)
		defer func() { _ = pipe.Close() }()
		limited := server.NewDoor(24, zap.NewNop()).Listen(pipe)
		accepted := make(chan net.Conn, 2000)
		go func() {
			for {
				connection, err := limited.Accept()
				if err != nil {
					return
				}
				accepted <- connection
			}
		}()
		defer func() { _ = limited.Close() }()
		for range 1024 {
			if _, err := pipe.DialContext(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		go func() { _, _ = pipe.DialContext(t.Context()) }()
		synctest.Wait()
		if got := len(accepted); got != 1024 {
			t.Errorf("%d were accepted", got)
		}
		_ = (<-accepted).Close()
		synctest.Wait()
		if got := len(accepted); got != 1024 {
			t.Errorf("when one has gone, there are %d", got)
		}
	})
}
