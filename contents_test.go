package vitrine_test

import (
	"strings"
	"testing"

	"vitrine"
	"vitrine/test/allocs"
)

func TestParseContents(t *testing.T) {
	c, err := vitrine.ParseContents([]byte(`{"version":1,"names":{"hidden/1":"a/b.log"}}`))
	if err != nil || c.Names["hidden/1"] != "a/b.log" {
		t.Fatalf("got %v, error %v", c, err)
	}
	for name, text := range map[string]string{
		"not JSON":        `x`,
		"another version": `{"version":2,"names":{}}`,
		"up and out":      `{"version":1,"names":{"hidden/1":"../x"}}`,
		"absolute":        `{"version":1,"names":{"hidden/1":"/etc/passwd"}}`,
		"hidden file":     `{"version":1,"names":{"hidden/1":".git/config"}}`,
		"no name":         `{"version":1,"names":{"hidden/1":""}}`,
		"too large":       `{"version":1,"names":{}` + strings.Repeat(" ", vitrine.MaxContentsSize) + `}`,
	} {
		if c, err := vitrine.ParseContents([]byte(text)); err == nil {
			t.Errorf("%s: got %v", name, c)
		}
	}
}

func FuzzParseContents(f *testing.F) {
	f.Add([]byte(`{"version":1,"names":{"hidden/1":"a/b.log"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var c *vitrine.Contents
		var err error
		allocs.Check(t, 200*int64(len(text)), func() { c, err = vitrine.ParseContents(text) })
		if err != nil {
			return
		}
		for _, name := range c.Names {
			if err := vitrine.ValidPath(name); err != nil {
				t.Errorf("%q was let through: %v", name, err)
			}
		}
	})
}
