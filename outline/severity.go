package outline

import "bytes"

// severity tells errors and warnings by the words at the beginning of a line. A
// word counts as a whole, in the form that programs give it: "0 errors",
// "error_detail" and "no error" are none. After a time, as in the log of a
// program, the word may come a little later.
func severity(text []byte, timed bool) Kind {
	indented := text[0] == ' ' || text[0] == '\t'
	text = trimBlank(text)
	first, rest := cutWord(text)
	if k := word(first, rest, indented); k != Plain {
		return k
	}
	if k := phrase(text, first, rest); k != Plain {
		return k
	}
	if timed {
		before := first
		for range 5 {
			var w []byte
			if w, rest = cutWord(rest); len(w) == 0 {
				break
			}
			if k := level(w); k != Plain && string(before) != "0" && string(before) != "no" {
				return k
			}
			before = w
		}
	}
	return pair(text)
}

// cutWord returns what is before the first space, and what is after.
func cutWord(text []byte) (word, rest []byte) {
	text = trimBlank(text)
	for i, c := range text {
		if isBlank(c) {
			return text[:i], text[i+1:]
		}
	}
	return text, nil
}

// trimBlank takes spaces and tabs off the beginning of a text.
func trimBlank(text []byte) []byte {
	for len(text) > 0 && isBlank(text[0]) {
		text = text[1:]
	}
	return text
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// indexAt is where a word first begins in a text, or -1. It looks for the letter
// at an index of the word, one that is rare in logs and not in the word again: that
// is quicker than to look for the word.
func indexAt(text []byte, word string, at int) int {
	for i := at; i < len(text); i++ {
		next := bytes.IndexByte(text[i:], word[at])
		if next < 0 {
			return -1
		}
		i += next
		if begin := i - at; len(text)-begin >= len(word) && string(text[begin:begin+len(word)]) == word {
			return begin
		}
	}
	return -1
}

// level tells the words for a severity that the log of a program has.
func level(w []byte) Kind {
	if len(w) < 4 || len(w) > 10 {
		return Plain
	}
	w = bytes.TrimRight(w, ":!")
	if len(w) > 2 && w[0] == '[' && w[len(w)-1] == ']' {
		w = w[1 : len(w)-1]
	}
	switch string(w) {
	case "ERROR", "FATAL", "CRITICAL", "PANIC":
		return Error
	case "WARNING", "WARN":
		return Warning
	}
	return Plain
}

// word tells a line by the first word of it.
func word(w, rest []byte, indented bool) Kind {
	if len(w) < 2 {
		return Plain
	}
	if k := level(w); k != Plain {
		return k
	}
	switch w[len(w)-1] {
	case ':':
		if said(rest) {
			return labelled(w[:len(w)-1], indented)
		}
	case '!':
		if string(w) == "ERR!" {
			return Error
		}
	case 'L', 'D': // Go's tests and pytest's
		if !indented && (string(w) == "FAIL" || string(w) == "FAILED" && !bytes.HasPrefix(rest, []byte("- "))) {
			return Error
		}
	}
	if isKlog(w, rest) { // E1122 02:11:09.123456 …
		switch w[0] {
		case 'E', 'F':
			return Error
		case 'W':
			return Warning
		}
	}
	return Plain
}

// labelled tells a label that is followed by a message.
func labelled(w []byte, indented bool) Kind {
	switch string(w) {
	case "error", "fatal", "panic":
		if indented { // a field of something
			return Plain
		}
		return Error
	case "E":
		return Error
	case "warning":
		if indented {
			return Plain
		}
		return Warning
	case "Warning", "W":
		return Warning
	case "Fatal", "ERR":
		return Error
	}
	switch {
	case bytes.HasSuffix(w, []byte("Error")), bytes.HasSuffix(w, []byte("Exception")): // also ValueError, java.io.IOException
		if isDotted(w) {
			return Error
		}
	case bytes.HasPrefix(w, []byte("error[")) && w[len(w)-1] == ']': // Rust's
		return Error
	}
	return Plain
}

// said reports whether a message says more than that there is nothing to say.
func said(rest []byte) bool {
	rest = bytes.TrimSpace(rest)
	switch string(rest) {
	case "", "0", "none", "None", "no", "nil", "<nil>", "null", "false", "False", `""`, "''", "[]", "{}", "{", "[":
		return false
	}
	return true
}

// phrases are told by how a line begins.
var phrases = []string{
	"Traceback (most recent call last)", "An exception occurred during task execution",
	"Exception in thread ", "Segmentation fault", "fatal error: ", "Fatal error: ", "npm error ", "npm ERR! ",
	"[DEPRECATION WARNING]: ", "npm warn ", "npm WARN ",
}

// phrase tells a line by several of its first words.
func phrase(text, first, rest []byte) Kind {
	switch text[0] {
	case 'T', 'A', 'E', 'S', 'f', 'F', 'n', '[':
		for i, p := range phrases {
			if bytes.HasPrefix(text, []byte(p)) {
				if i >= len(phrases)-3 {
					return Warning
				}
				return Error
			}
		}
	case 0xf0: // Buildkite's "🚨 Error: The command exited with status 1"
		if bytes.HasPrefix(rest, []byte("Error: ")) {
			return Error
		}
	}
	if text[0] == 'e' && (bytes.HasPrefix(text, []byte("exit status ")) || bytes.HasPrefix(text, []byte("exit code "))) {
		if code := bytes.TrimRight(text[bytes.LastIndexByte(text, ' ')+1:], "."); number(code) > 0 && len(code) < 4 {
			return Error
		}
	}
	// FILE:12:3: error: … of compilers, and PROGRAM: error: … of others.
	if n := len(first); n > 1 && (first[n-1] == ':' || first[n-1] == ')') && first[0] != '"' && first[0] != '\'' {
		w, after := cutWord(rest)
		switch string(w) {
		case "error:":
			if said(after) {
				return Error
			}
		case "error", "fatal": // error C2065:, fatal error:
			if second, _ := cutWord(after); len(second) > 3 && second[len(second)-1] == ':' &&
				(string(second) == "error:" || isDigit(second[len(second)-2])) {
				return Error
			}
		case "***": // make: *** [all] Error 2
			return Error
		case "warning:":
			return Warning
		default:
			if len(w) > 8 && bytes.HasSuffix(w, []byte("Warning:")) && isDotted(w[:len(w)-1]) {
				return Warning // Python's
			}
		}
	}
	return Plain
}

// pair tells lines of fields: level=error and "level":"error".
func pair(text []byte) Kind {
	text = text[:min(len(text), 256)]
	i := indexAt(text, "level", len("le"))
	if i < 0 {
		return Plain
	}
	value, quoted := text[i+len("level"):], false
	if i > 0 && text[i-1] == '"' {
		value, quoted = bytes.CutPrefix(value, []byte(`":`))
		value = bytes.TrimLeft(value, " ")
	} else if i == 0 || text[i-1] == ' ' {
		value, quoted = bytes.CutPrefix(value, []byte("="))
	}
	if !quoted {
		return Plain
	}
	value = bytes.TrimLeft(value, `"`)
	end := 0
	for end < len(value) && isLetter(value[end]) {
		end++
	}
	switch string(value[:end]) {
	case "error", "ERROR", "fatal", "FATAL", "panic", "critical":
		return Error
	case "warn", "WARN", "warning", "WARNING":
		return Warning
	}
	return Plain
}

// isKlog reports whether E1122 is followed by a time, as in the logs of Kubernetes.
func isKlog(w, rest []byte) bool {
	return len(w) == 5 && number(w[1:]) >= 0 && len(rest) > 8 && rest[2] == ':' && rest[5] == ':' && number(rest[:2]) >= 0
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isDotted(w []byte) bool {
	for _, c := range w {
		if !isLetter(c) && !isDigit(c) && c != '.' && c != '_' {
			return false
		}
	}
	return true
}
