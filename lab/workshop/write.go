package workshop

import (
	"os"
	"path/filepath"
)

// programs is where programs are that a test adds.
const programs = "/usr/local/bin"

// Write writes a file in the workshop, which root alone can read.
func (w *Workshop) Write(file, text string) {
	w.t.Helper()
	w.write(file, []byte(text), 0o600)
}

// AddScript adds a program of a name, which is a script.
func (w *Workshop) AddScript(name, text string) {
	w.t.Helper()
	w.write(filepath.Join(programs, name), []byte(text), 0o755)
}

// AddProgram adds a copy of a program of the machine's, under another name.
func (w *Workshop) AddProgram(path, name string) {
	w.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatalf("read a program for the workshop: %v", err)
	}
	w.write(filepath.Join(programs, name), text, 0o755)
}

func (w *Workshop) write(file string, text []byte, mode os.FileMode) {
	w.t.Helper()
	path := w.Path(file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatalf("make a folder in the workshop: %v", err)
	}
	if err := os.WriteFile(path, text, mode); err != nil {
		w.t.Fatalf("write a file in the workshop: %v", err)
	}
}
