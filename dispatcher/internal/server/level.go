package server

import (
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/codes"
)

// level is how loudly the end of a call is logged. That sessions end, because either side goes or another takes its place, is
// no reason to worry; what is refused is logged by the gate, with the reason.
func level(code codes.Code) logging.Level {
	switch code {
	case codes.Unauthenticated, codes.PermissionDenied:
		return logging.LevelDebug // The gate says why.
	case codes.Aborted, codes.Canceled, codes.Unavailable:
		return logging.LevelInfo
	default:
		return logging.DefaultServerCodeToLevel(code)
	}
}

// zapLevel is zap's word for a level of the middleware's.
func zapLevel(level logging.Level) zapcore.Level {
	switch {
	case level < logging.LevelInfo:
		return zapcore.DebugLevel
	case level < logging.LevelWarn:
		return zapcore.InfoLevel
	case level < logging.LevelError:
		return zapcore.WarnLevel
	default:
		return zapcore.ErrorLevel
	}
}
