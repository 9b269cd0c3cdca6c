package ngram

// A Query is the 4-grams of texts one of which is looked for. The zero Query
// tells nothing: any text may hold it.
type Query struct {
	literals [][]uint32 // for each text, its grams in order
	longest  int
}

// NewQuery makes a query for a text that holds one of the literals. If one of
// them is too short to have a 4-gram the query tells nothing.
//
// A query doesn't tell ASCII letters from their other case. A search that ignores
// case beyond ASCII must not give literals of letters whose other case is of
// other bytes: in Unicode k has the Kelvin sign too, and s the long s.
func NewQuery(literals ...string) Query {
	var q Query
	for _, l := range literals {
		grams := gramsOf(l)
		if len(grams) == 0 {
			return Query{}
		}
		q.literals = append(q.literals, grams)
		q.longest = max(q.longest, len(l))
	}
	return q
}

// gramsOf are the grams of a text, but for those with a line feed, which no set
// tells of.
func gramsOf(text string) []uint32 {
	var found []uint32
	var g uint32
	run := 0 // bytes since the last line feed
	for i := range len(text) {
		symbol := symbols[text[i]]
		g = (g<<5 | symbol) % grams
		if run++; symbol == lineFeed {
			run = 0
		}
		if run >= 4 {
			found = append(found, g)
		}
	}
	return found
}

// Tells reports whether the query can say no at all.
func (q Query) Tells() bool { return len(q.literals) > 0 }

// Longest is the length of the longest literal, in bytes: a literal that lies
// across a place begins less than that before it.
func (q Query) Longest() int { return q.longest }

// In reports whether a text may hold one of the literals, which consists of parts
// that have these sets: the literal may lie in one part, or across some of them.
// A gram across two parts is to be in the set of the latter.
func (q Query) In(parts ...*Set) bool {
	for _, grams := range q.literals {
		for _, part := range parts {
			for len(grams) > 0 && part.has(grams[0]) {
				grams = grams[1:]
			}
		}
		if len(grams) == 0 {
			return true
		}
	}
	return !q.Tells()
}
