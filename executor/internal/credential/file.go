package credential

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"
)

// files are files that are read again whenever what they say is wanted, and understood again where that has changed. What cannot be
// understood, such as a certificate that has been written while its key has not, is logged once, and what was understood last
// stands; so it does where it is of use and what is there now is not. They are compared by content: times lie where files
// are swapped by symbolic links, as Kubernetes does it.
type files[T any] struct {
	paths []string
	parse func(contents [][]byte) (T, error)
	// check says why something that was understood is of no use now.
	check func(T) error
	log   *zap.Logger

	mu       sync.Mutex // guards the others
	contents [][]byte
	value    T
	// complaint is what was logged last of what is there now; empty: what is there now is understood.
	complaint string
}

// openFiles reads files for the first time. What is of no use is logged, and no error: a clock may be wrong at the start, and the files may be
// replaced at any time.
func openFiles[T any](log *zap.Logger, parse func([][]byte) (T, error), check func(T) error, paths ...string) (*files[T], error) {
	f := &files[T]{paths: paths, parse: parse, check: check, log: log}
	if _, err := f.load(); err != nil {
		return nil, err
	}
	if err := check(f.value); err != nil {
		log.Error("files are of no use now; they are read again whenever they are needed", zap.Strings("files", paths), zap.Error(err))
	}

	return f, nil
}

// get is what the files say; what they said before where they say nothing that can be understood.
func (f *files[T]) get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed, err := f.load()
	if err != nil {
		// They may have been swapped between the reading of one and the next.
		changed, err = f.load()
	}
	switch {
	case err != nil && err.Error() != f.complaint:
		f.complaint = err.Error()
		f.log.Error("files have changed and cannot be used; what they said before stands", zap.Strings("files", f.paths), zap.Error(err))
	case err == nil:
		f.complaint = ""
		if changed {
			f.tell()
		}
	}

	return f.value
}

// tell logs that files have changed and were understood.
func (f *files[T]) tell() {
	if err := f.check(f.value); err != nil {
		f.log.Error("files have changed and are of no use now, no more than what they said before", zap.Strings("files", f.paths), zap.Error(err))

		return
	}
	f.log.Info("files have changed and were read anew", zap.Strings("files", f.paths))
}

// load reads the files, and says whether they have changed and were understood.
func (f *files[T]) load() (bool, error) {
	contents := make([][]byte, len(f.paths))
	for n, path := range f.paths {
		var err error
		if contents[n], err = os.ReadFile(path); err != nil {
			return false, err //nolint:wrapcheck // it names the file and what is wrong
		}
	}
	if slices.EqualFunc(contents, f.contents, bytes.Equal) {
		return false, nil
	}
	value, err := f.parse(contents)
	if err != nil {
		return false, fmt.Errorf("%s: %w", strings.Join(f.paths, ", "), err)
	}
	if err := f.check(value); err != nil && f.contents != nil && f.check(f.value) == nil {
		return false, fmt.Errorf("%s: %w", strings.Join(f.paths, ", "), err)
	}
	f.contents, f.value = contents, value

	return true, nil
}
