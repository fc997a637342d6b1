package identity

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"
)

// files are files that are read again whenever what they say is wanted, and understood again where that has changed. What cannot be
// understood, such as a certificate that has been written while its key has not, is logged once, and what was understood last
// stands. They are compared by content: times lie where files are swapped by symbolic links, as Kubernetes does it.
type files[T any] struct {
	paths []string
	parse func(contents [][]byte) (T, error)
	log   *zap.Logger

	mu       sync.Mutex // guards the others
	contents [][]byte
	value    T
	// complaint is what was logged last of what is there now; empty: what is there now is understood.
	complaint string
}

// openFiles reads files for the first time.
func openFiles[T any](log *zap.Logger, parse func([][]byte) (T, error), paths ...string) (*files[T], error) {
	f := &files[T]{paths: paths, parse: parse, log: log}
	if _, err := f.load(); err != nil {
		return nil, err
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
			f.log.Info("files have changed and were read anew", zap.Strings("files", f.paths))
		}
	}

	return f.value
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
	f.contents, f.value = contents, value

	return true, nil
}

// openPair reads a certificate, with those between it and its CA, and its key.
func openPair(log *zap.Logger, certificate, key string) (*files[*tls.Certificate], error) {
	return openFiles(log, func(contents [][]byte) (*tls.Certificate, error) { return pairOf(contents[0], contents[1]) }, certificate, key)
}

// openCAs reads the certificates of CAs.
func openCAs(log *zap.Logger, path string) (*files[*x509.CertPool], error) {
	return openFiles(log, func(contents [][]byte) (*x509.CertPool, error) { return poolOf(contents[0]) }, path)
}
