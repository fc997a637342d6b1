package wire

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// firstUnknown words the first field that the messages, or messages in them, have and this version of the protocol has
// not. Empty: they have none.
func firstUnknown(messages ...proto.Message) string {
	for _, message := range messages {
		if found := unknownIn(message.ProtoReflect()); found != "" {
			return found
		}
	}

	return ""
}

func unknownIn(message protoreflect.Message) string {
	if unknown := message.GetUnknown(); len(unknown) > 0 {
		number, _, _ := protowire.ConsumeTag(unknown)

		return fmt.Sprintf("field %d of %s", number, message.Descriptor().Name())
	}
	found := ""
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap():
			if field.MapValue().Message() != nil {
				value.Map().Range(func(_ protoreflect.MapKey, each protoreflect.Value) bool {
					found = unknownIn(each.Message())

					return found == ""
				})
			}
		case field.Message() == nil:
		case field.IsList():
			for i := 0; i < value.List().Len() && found == ""; i++ {
				found = unknownIn(value.List().Get(i).Message())
			}
		default:
			found = unknownIn(value.Message())
		}

		return found == ""
	})

	return found
}
