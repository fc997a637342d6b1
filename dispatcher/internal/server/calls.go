package server

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/tap"
)

// callTimeout is how long a call with one question and one answer may take in all, its message's way included: whoever may make it could
// otherwise begin messages and never end them.
const callTimeout = 30 * time.Second

// calls registers services such that their calls with one question and one answer are let in before their message is read. gRPC reads
// the message first and asks its interceptors then, so that whoever reaches the port could have it hold as many messages as it likes. To a
// client there is no difference.
type calls struct {
	*grpc.Server

	// around are the interceptors, as one.
	around grpc.UnaryServerInterceptor
	// timed are the paths of these calls. Written before the server serves, and only read then.
	timed map[string]bool
}

// RegisterService is that of grpc.ServiceRegistrar.
func (c calls) RegisterService(service *grpc.ServiceDesc, implementation any) {
	changed := *service
	changed.Methods = nil
	changed.Streams = append([]grpc.StreamDesc(nil), service.Streams...)
	for _, method := range service.Methods {
		path := "/" + service.ServiceName + "/" + method.MethodName
		c.timed[path] = true
		changed.Streams = append(changed.Streams, grpc.StreamDesc{StreamName: method.MethodName, Handler: func(server any, stream grpc.ServerStream) error {
			info := &grpc.UnaryServerInfo{Server: server, FullMethod: path}
			answer, err := c.around(stream.Context(), nil, info, func(ctx context.Context, _ any) (any, error) {
				return method.Handler(server, ctx, stream.RecvMsg, nil)
			})
			if err != nil {
				return err
			}

			return stream.SendMsg(answer)
		}})
	}
	c.Server.RegisterService(&changed, implementation)
}

// begin gives a call that has just one question its time. It is asked by a connection's reader, and must not wait.
func (c calls) begin(ctx context.Context, call *tap.Info) (context.Context, error) {
	if !c.timed[call.FullMethodName] {
		return ctx, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	// The call's own context ends with the call.
	context.AfterFunc(ctx, cancel)

	return ctx, nil
}

// chain is interceptors as one, the outermost first.
func chain(interceptors ...grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		for _, one := range slices.Backward(interceptors) {
			inner := handler
			handler = func(ctx context.Context, request any) (any, error) { return one(ctx, request, info, inner) }
		}

		return handler(ctx, request)
	}
}
