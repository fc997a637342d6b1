package layout

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
)

// pureImports are the standard packages that a pure room may import: they compute, and reach neither files, network,
// processes, clock nor chance. What they import in their turn does not matter: fmt reaches os, and no room writes
// to a file by it.
var pureImports = []string{ //nolint:gochecknoglobals // a constant list; Go has none
	"bytes", "cmp", "crypto/sha256", "encoding/base64", "encoding/binary", "encoding/hex", "errors", "fmt", "iter", "maps", "math", "math/bits",
	"net/netip", "path", "slices", "sort", "strconv", "strings", "time", "unicode", "unicode/utf8",
}

// clock are the functions of package time that read or await a clock. A pure room may speak of times and durations;
// it is told what time it is.
var clock = []string{ //nolint:gochecknoglobals // a constant list; Go has none
	"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until",
}

// Impurities says, in plain words, what a package's own files use that a pure room must not: an import beyond the
// allowed ones and neighbours, or a clock. Empty when it is pure.
func Impurities(room Package, neighbours []string) ([]string, error) {
	var found []string
	for _, name := range room.GoFiles {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, filepath.Join(room.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("parse a file of %s: %w", room.ImportPath, err)
		}
		for _, imported := range file.Imports {
			path, err := strconv.Unquote(imported.Path.Value)
			if err != nil {
				return nil, fmt.Errorf("read an import of %s: %w", name, err)
			}
			if !slices.Contains(pureImports, path) && !slices.Contains(neighbours, path) {
				found = append(found, name+" imports "+path)
			}
			if path == "time" && imported.Name != nil {
				found = append(found, name+" imports time under another name, which hides its clock")
			}
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if selector, ok := node.(*ast.SelectorExpr); ok {
				if of, ok := selector.X.(*ast.Ident); ok && of.Name == "time" && slices.Contains(clock, selector.Sel.Name) {
					found = append(found, name+" uses time."+selector.Sel.Name)
				}
			}

			return true
		})
	}

	return found, nil
}
