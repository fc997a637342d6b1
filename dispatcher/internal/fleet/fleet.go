// Package fleet answers operators: what each node should have, what it has, and why the two differ.
package fleet

import (
	"context"
	"encoding/base64"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"multinic.dev/dispatcher/internal/reconcile"
	multinicv1 "multinic.dev/proto/multinic/v1"
)

// The sizes of pages, in nodes.
const (
	defaultPage = 100
	maxPage     = 1000
)

// Reconciler is what an answer is made of.
type Reconciler interface {
	// Node returns one node, or nil, and how it stands with the table.
	Node(name string) (*multinicv1.Node, reconcile.Health, error)
	// Nodes returns a page of nodes in the order of their names, at most so many.
	Nodes(filter *multinicv1.NodeFilter, after string, most int) (reconcile.Page, error)
	// Retry has a node try again what failed; see reconcile.Reconciler.
	Retry(name string) (generation uint64, found bool, health reconcile.Health, err error)
	// Guard returns what the guard holds.
	Guard() (*multinicv1.Guard, reconcile.Health, error)
	// ReleaseGuard lets exactly the set through that a token names.
	ReleaseGuard(token string) (released int, is bool, health reconcile.Health, err error)
}

// Server serves FleetService.
type Server struct {
	multinicv1.UnimplementedFleetServiceServer

	reconciler Reconciler
}

var _ multinicv1.FleetServiceServer = &Server{}

// NewServer returns a server.
func NewServer(reconciler Reconciler) *Server { return &Server{reconciler: reconciler} }

// nameless is what is answered where no node is named.
func nameless() error {
	return status.Error(codes.InvalidArgument, "name is empty: say which node, as attached_node_name has it")
}

// unknown is what is answered where a node is named that there is not.
func unknown(name string) error {
	return status.Errorf(codes.NotFound, "node %q is unknown: no row has it as attached_node_name, and no executor of that name is connected", name)
}

// GetNode returns one node; see the protocol.
func (s *Server) GetNode(_ context.Context, request *multinicv1.GetNodeRequest) (*multinicv1.GetNodeResponse, error) {
	name := request.GetName()
	if name == "" {
		return nil, nameless()
	}
	node, health, err := s.reconciler.Node(name)
	if err := unavailable(health, err); err != nil {
		return nil, err
	}
	if node == nil {
		return nil, unknown(name)
	}

	return &multinicv1.GetNodeResponse{Node: node}, nil
}

// ListNodes returns a page of nodes; see the protocol.
func (s *Server) ListNodes(_ context.Context, request *multinicv1.ListNodesRequest) (*multinicv1.ListNodesResponse, error) {
	size := int(request.GetPageSize())
	if size < 0 {
		return nil, status.Errorf(codes.InvalidArgument, "page_size %d is negative: leave it out, or ask for 1 to %d nodes", size, maxPage)
	}
	if size == 0 {
		size = defaultPage
	}
	// A page begins after the last name of the one before it, so nodes that come and go meanwhile shift nothing.
	after, err := base64.RawURLEncoding.DecodeString(request.GetPageToken())
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "page_token %q is none of ours: give back next_page_token as it was", request.GetPageToken())
	}
	page, err := s.reconciler.Nodes(request.GetFilter(), string(after), min(size, maxPage))
	if err := unavailable(page.Health, err); err != nil {
		return nil, err
	}

	return &multinicv1.ListNodesResponse{Nodes: page.Nodes, NextPageToken: base64.RawURLEncoding.EncodeToString([]byte(page.Next))}, nil
}

// RetryNode has a node try again what failed; see the protocol.
func (s *Server) RetryNode(_ context.Context, request *multinicv1.RetryNodeRequest) (*multinicv1.RetryNodeResponse, error) {
	name := request.GetName()
	if name == "" {
		return nil, nameless()
	}
	generation, found, health, err := s.reconciler.Retry(name)
	if err := unavailable(health, err); err != nil {
		return nil, err
	}
	switch {
	case !found:
		return nil, unknown(name)
	case generation == 0:
		return nil, status.Errorf(codes.FailedPrecondition, "node %q has no session now: look at its executor; it tries everything anew when it connects", name)
	}

	return &multinicv1.RetryNodeResponse{Generation: generation}, nil
}

// GetGuard returns what the guard holds; see the protocol.
func (s *Server) GetGuard(context.Context, *multinicv1.GetGuardRequest) (*multinicv1.GetGuardResponse, error) {
	guard, health, err := s.reconciler.Guard()
	if err := unavailable(health, err); err != nil {
		return nil, err
	}

	return &multinicv1.GetGuardResponse{Guard: guard}, nil
}

// ReleaseGuard lets the set through that the guard holds; see the protocol.
func (s *Server) ReleaseGuard(_ context.Context, request *multinicv1.ReleaseGuardRequest) (*multinicv1.ReleaseGuardResponse, error) {
	if request.GetToken() == "" {
		return nil, status.Error(codes.InvalidArgument, "token is empty: look at what is held with GetGuard, and give back its token")
	}
	released, is, health, err := s.reconciler.ReleaseGuard(request.GetToken())
	if err := unavailable(health, err); err != nil {
		return nil, err
	}
	if !is {
		return nil, status.Errorf(codes.FailedPrecondition,
			"the guard holds nothing of a set that %q names: look at what is held now with GetGuard", request.GetToken())
	}

	return &multinicv1.ReleaseGuardResponse{Released: int32(released)}, nil
}

// unavailable says that there is nothing to answer with: what is not known yet is not absent.
func unavailable(health reconcile.Health, err error) error {
	switch {
	case err != nil:
		return status.Error(codes.Unavailable, err.Error())
	case !health.Read && health.Problem != "":
		return status.Error(codes.Unavailable, "the table has not been read yet: "+health.Problem)
	case !health.Read:
		return status.Error(codes.Unavailable, "the table has not been read yet; try again in a moment")
	}

	return nil
}
