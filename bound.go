package vitrine

import "fmt"

// boundLists refuses JSON whose lists, and those one level below, have more items, or
// fields with fields, than a record may, before it is decoded: a {} takes three bytes
// there and 136 in memory.
func boundLists(b []byte) error {
	const most = MaxArtifacts + 2*MaxReaders + 100
	items, depth, quoted := 0, 0, false
	list := false // what is at depth 3 is one: the links of an imported build
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth == 3 {
				list = c == '['
			}
		case c == '}' || c == ']':
			depth--
		case c == ',' && (depth == 2 || depth == 3 && list):
			items++
		}
	}
	if items > most {
		return fmt.Errorf("its lists have more than %d items", most)
	}
	return nil
}
