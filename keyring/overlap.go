package keyring

import "strings"

// Bounds on comparing patterns, which a hostile keyring could make take hours.
const (
	maxPatterns = 10_000  // job patterns in all
	maxCompare  = 1 << 25 // steps in all
)

// overlaps reports every pattern that could match a job of another service. No
// order of rules decides who owns a job: nothing may match twice.
func (l *loader) overlaps() {
	type claim struct {
		pattern string
		line    int
		service *serviceFile
	}
	var globs []claim
	literals := make(map[string]claim)
	total, steps := 0, 0
	for _, s := range l.services {
		if total += len(s.jobs); total > maxPatterns {
			l.errorf(s.file.path, s.at["jobs"], "with these the keyring has more than %d job patterns", maxPatterns)
			return
		}
	}
	clash := func(now, old claim) {
		l.errorf(now.service.file.path, now.line, "jobs: %q and %q of service %s (%s:%d) can match the same job; a job belongs to one service",
			now.pattern, old.pattern, old.service.Name, old.service.file.path, old.line)
	}
	for _, s := range l.services {
		for _, i := range s.jobs {
			now := claim{i.value, i.line, s}
			if !strings.Contains(i.value, "*") {
				if old, ok := literals[i.value]; ok {
					clash(now, old)
				} else {
					literals[i.value] = now
				}
			} else {
				for _, old := range literals {
					if old.service != s && mayOverlap(i.value, old.pattern, &steps) {
						clash(now, old)
					}
				}
			}
			for _, old := range globs {
				if old.service != s && mayOverlap(i.value, old.pattern, &steps) {
					clash(now, old)
				}
			}
			if strings.Contains(i.value, "*") {
				globs = append(globs, now)
			}
			if steps > maxCompare {
				l.errorf(s.file.path, i.line, "jobs: too many patterns that are too much alike to compare; use fewer *")
				return
			}
		}
	}
}

// mayOverlap is overlap with a quick no for what differs at an end.
func mayOverlap(a, b string, steps *int) bool {
	for i := 0; i < len(a) && i < len(b) && a[i] != '*' && b[i] != '*'; i++ {
		if a[i] != b[i] {
			return false
		}
	}
	for i, j := len(a)-1, len(b)-1; i >= 0 && j >= 0 && a[i] != '*' && b[j] != '*'; i, j = i-1, j-1 {
		if a[i] != b[j] {
			return false
		}
	}
	*steps += (len(a) + 1) * (len(b) + 1)
	if *steps > maxCompare {
		return false // the caller reports that, and gives up
	}
	return overlap(a, b)
}

// A token of a pattern: a byte that stands for itself, or one of the stars.
type token int

const (
	star     token = 256 + iota // any run of bytes but the slash
	starStar                    // any run of bytes
)

// tokens splits a pattern as [vitrine.ParseGlob] does.
func tokens(pattern string) []token {
	var t []token
	for i := 0; i < len(pattern); i++ {
		switch {
		case pattern[i] != '*':
			t = append(t, token(pattern[i]))
		case i+1 < len(pattern) && pattern[i+1] == '*':
			t = append(t, starStar)
			i++
		default:
			t = append(t, star)
		}
	}
	return t
}

// overlap reports whether some string matches both patterns. ok[j] says so of
// what is left of a from i and of b from j, computed from the ends backwards.
func overlap(a, b string) bool {
	x, y := tokens(a), tokens(b)
	var below []bool
	for i := len(x); i >= 0; i-- {
		ok := make([]bool, len(y)+1)
		for j := len(y); j >= 0; j-- {
			switch {
			case i == len(x) && j == len(y):
				ok[j] = true
			case i < len(x) && x[i] >= star && below[j]: // the star of a ends here
				ok[j] = true
			case j < len(y) && y[j] >= star && ok[j+1]: // the star of b ends here
				ok[j] = true
			case i == len(x) || j == len(y):
			case x[i] >= star: // the star of a takes b's byte
				ok[j] = y[j] < star && takes(x[i], y[j]) && ok[j+1]
			case y[j] >= star:
				ok[j] = takes(y[j], x[i]) && below[j]
			default:
				ok[j] = x[i] == y[j] && below[j+1]
			}
		}
		below = ok
	}
	return below[0]
}

// takes reports whether a star may stand for a byte.
func takes(s, c token) bool { return s == starStar || c != '/' }
