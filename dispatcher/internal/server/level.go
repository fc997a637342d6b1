package server

import (
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"go.uber.org/zap/zapcore"
)

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
