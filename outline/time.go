package outline

import (
	"bytes"
	"time"
)

// cutTime returns the time at the beginning of a text, and what follows it. It
// knows dates that begin with a year, and the line that Ansible's profile_tasks
// writes: all else can be read in more than one way.
func cutTime(text []byte) (time.Time, []byte) {
	s := text
	bracket := len(s) > 0 && s[0] == '['
	if bracket {
		s = s[1:]
	}
	if len(s) < 19 {
		return time.Time{}, text
	}
	if s[0] < '0' || s[0] > '9' {
		return profileTime(s), text
	}
	sep := s[4]
	if sep != '-' && sep != '/' || s[7] != sep || s[10] != ' ' && s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return time.Time{}, text
	}
	year, month, day := number(s[:4]), number(s[5:7]), number(s[8:10])
	hour, minute, second := number(s[11:13]), number(s[14:16]), number(s[17:19])
	if year < 1970 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 {
		return time.Time{}, text
	}
	s = s[19:]
	nanos := 0
	if len(s) > 1 && (s[0] == '.' || s[0] == ',') && isDigit(s[1]) {
		s = s[1:]
		for unit := int(1e8); len(s) > 0 && isDigit(s[0]); unit /= 10 {
			nanos += int(s[0]-'0') * unit
			s = s[1:]
		}
	}
	var offset int
	offset, s = cutZone(s)
	if day > 28 && day > daysIn(year, month) {
		return time.Time{}, text
	}
	t := time.Unix(int64(daysSince1970(year, month, day)*86400+hour*3600+minute*60+second-offset), int64(nanos)).UTC()
	if len(s) > 0 && s[0] != ' ' && s[0] != ']' && s[0] != '|' && s[0] != '\t' && s[0] != ':' {
		return time.Time{}, text
	}
	if bracket {
		if len(s) == 0 || s[0] != ']' {
			return time.Time{}, text
		}
		s = s[1:]
	}
	if rest, ok := bytes.CutPrefix(s, []byte(" | ")); ok {
		return t, rest
	}
	if len(s) > 0 && s[0] == ' ' {
		s = s[1:] // one: what is indented stays so
	}
	return t, s
}

// daysIn is the number of days of a month.
func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysSince1970 is the number of days from 1970 on to a date that is not before.
// It is here since time.Date takes longer than all else that is done for a line.
func daysSince1970(year, month, day int) int {
	if month < 3 { // years that begin with March end with the leap day
		year, month = year-1, month+12
	}
	return 365*year + year/4 - year/100 + year/400 + (153*month-457)/5 + day - 719469
}

// cutZone returns the seconds east of UTC that a text begins with; 0 if it has
// no zone.
func cutZone(s []byte) (int, []byte) {
	if len(s) > 0 && s[0] == 'Z' {
		return 0, s[1:]
	}
	z := s
	if len(z) > 1 && z[0] == ' ' {
		z = z[1:]
	}
	if len(z) < 5 || z[0] != '+' && z[0] != '-' {
		return 0, s
	}
	minutes := z[3:]
	if minutes[0] == ':' {
		minutes = minutes[1:]
	}
	if len(minutes) < 2 || len(minutes) > 2 && isDigit(minutes[2]) {
		return 0, s
	}
	h, m := number(z[1:3]), number(minutes[:2])
	if h < 0 || h > 14 || m < 0 || m > 59 {
		return 0, s
	}
	offset := h*3600 + m*60
	if z[0] == '-' {
		offset = -offset
	}
	return offset, minutes[2:]
}

// profileTime is the time of "Sunday 22 November 2026  15:38:59 +0000 (0:00:00.1)".
func profileTime(s []byte) time.Time {
	day, _, ok := bytes.Cut(s[:12], []byte("day "))
	if !ok || len(day) > 6 {
		return time.Time{}
	}
	s, _, ok = bytes.Cut(s, []byte(" ("))
	if !ok || len(s) > 48 {
		return time.Time{}
	}
	t, err := time.Parse("Monday 02 January 2006  15:04:05 -0700", string(s))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// number is that of a few digits, or -1.
func number(s []byte) int {
	n := 0
	for _, c := range s {
		if !isDigit(c) {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// cutSource takes the host off that Zuul writes before a line of its output:
// "HOST | TEXT".
func cutSource(text []byte) []byte {
	for i, c := range text[:min(len(text), 64)] {
		switch {
		case c == ' ':
			if i > 0 && bytes.HasPrefix(text[i:], []byte(" | ")) {
				return text[i+3:]
			}
			return text
		case c == '"' || c == '\'' || c == '|':
			return text
		}
	}
	return text
}
