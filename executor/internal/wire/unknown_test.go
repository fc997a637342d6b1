package wire

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	multinicv1 "multinic.dev/proto/multinic/v1"
)

// TestAnUnknownFieldIsFoundHoweverDeepItIs uses messages of other shapes: a spec may get a message, a list or a map of them.
func TestAnUnknownFieldIsFoundHoweverDeepItIs(t *testing.T) {
	later := func(message proto.Message) {
		message.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1))
	}
	inMessage := &multinicv1.WorkItem{Key: &multinicv1.Key{}, Revision: "r"}
	inList := &multinicv1.WorkSet{Items: []*multinicv1.WorkItem{{}, {Key: &multinicv1.Key{}}}}
	inMap := &structpb.Struct{Fields: map[string]*structpb.Value{"a": structpb.NewNullValue(), "b": structpb.NewNullValue()}}
	for _, message := range []proto.Message{inMessage, inList, inMap} {
		if found := firstUnknown(message); found != "" {
			t.Errorf("%s has nothing unknown, and %s was found", message.ProtoReflect().Descriptor().Name(), found)
		}
	}
	later(inMessage.GetKey())
	later(inList.GetItems()[1].GetKey())
	later(inMap.GetFields()["b"])
	for message, want := range map[proto.Message]string{inMessage: "field 1000 of Key", inList: "field 1000 of Key", inMap: "field 1000 of Value"} {
		if found := firstUnknown(&multinicv1.Key{}, message); found != want {
			t.Errorf("in %s: %q, want %q", message.ProtoReflect().Descriptor().Name(), found, want)
		}
	}
}
