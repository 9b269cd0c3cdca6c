package client_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"vitrine/client"
)

// reads are all that asks for a JSON reply.
var reads = map[string]func(context.Context, *client.Client) error{
	"Builds":   func(ctx context.Context, c *client.Client) error { _, err := c.Builds(ctx, nil); return err },
	"Build":    func(ctx context.Context, c *client.Client) error { _, err := c.Build(ctx, uuid); return err },
	"Buildset": func(ctx context.Context, c *client.Client) error { _, err := c.Buildset(ctx, uuid); return err },
	"Overview": func(ctx context.Context, c *client.Client) error { _, err := c.Overview(ctx); return err },
	"Services": func(ctx context.Context, c *client.Client) error { _, err := c.Services(ctx); return err },
	"Service":  func(ctx context.Context, c *client.Client) error { _, err := c.Service(ctx, "web"); return err },
	"Jobs":     func(ctx context.Context, c *client.Client) error { _, err := c.Jobs(ctx, "", 10); return err },
	"Job":      func(ctx context.Context, c *client.Client) error { _, err := c.Job(ctx, "a/b"); return err },
	"Keyring":  func(ctx context.Context, c *client.Client) error { _, err := c.Keyring(ctx); return err },
	"Names":    func(ctx context.Context, c *client.Client) error { _, err := c.Names(ctx); return err },
	"AllBuilds": func(ctx context.Context, c *client.Client) error {
		for _, err := range c.AllBuilds(ctx, nil) {
			return err
		}
		return errors.New("no build and no error")
	},
}

// No reply is believed: not its size, its form, or a text in it.
func TestReadRefuses(t *testing.T) {
	problem := `{"title":"Not Found","status":404,"detail":"not in the history"}`
	for what, test := range map[string]struct {
		status int
		reply  string
		want   string
	}{
		"no JSON":             {200, "<html>", "is this a vitrine server?"},
		"a control character": {200, `{"uuid":"` + uuid + `","stranger":"\u001b[2J"}`, "control character"},
		"endless":             {200, `{"x":"` + strings.Repeat("x", 17<<20), "more than"},
		"a problem":           {404, problem, "not in the history"},
	} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(test.status)
			fmt.Fprint(w, test.reply)
		})
		for name, read := range reads {
			err := read(t.Context(), c)
			if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, fs.ErrNotExist) != (test.status == 404) {
				t.Errorf("%s of %s: error %v, want %q", name, what, err, test.want)
			}
		}
	}
}

func TestReadUUIDs(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"uuid":"other","builds":[{"uuid":"../x"}]}`)
	})
	for _, name := range []string{"Builds", "Buildset", "Build", "AllBuilds"} {
		if err := reads[name](t.Context(), c); err == nil || !strings.Contains(err.Error(), "the server's answer") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestReadAddresses(t *testing.T) {
	var asked string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.RequestURI()
		fmt.Fprintf(w, `{"uuid":%q}`, uuid)
	})
	const tenant = "/api/v1/tenant/demo"
	for name, want := range map[string]string{
		"Overview": tenant, "Service": tenant + "/services/web", "Job": tenant + "/jobs/a%2Fb", "Jobs": tenant + "/jobs?limit=10",
		"Names": tenant + "/names", "Keyring": tenant + "/keyring", "Buildset": tenant + "/buildsets/" + uuid,
	} {
		if err := reads[name](t.Context(), c); err != nil || asked != want {
			t.Errorf("%s asked for %q, error %v; want %q", name, asked, err, want)
		}
	}
	if _, err := c.Jobs(t.Context(), "a&b", 1); err != nil || asked != tenant+"/jobs?after=a%26b&limit=1" {
		t.Errorf("asked for %q, error %v", asked, err)
	}
}

// Pages follow one another until there is none, or nobody asks for more.
func TestAllBuilds(t *testing.T) {
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		asked = append(asked, q.Get("before"))
		older := map[string]string{"": "p1", "p1": "p2", "p2": ""}[q.Get("before")]
		fmt.Fprintf(w, `{"builds":[{"uuid":%q},{"uuid":%q}],"older":%q}`, uuid, uuid, older)
	})
	query := url.Values{"service": {"web"}}
	n := 0
	for _, err := range c.AllBuilds(t.Context(), query) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 6 || strings.Join(asked, ",") != ",p1,p2" || len(query) != 1 {
		t.Errorf("%d builds, asked for %q, query %v", n, asked, query)
	}
	asked = nil
	for range c.AllBuilds(t.Context(), query) {
		break
	}
	if len(asked) != 1 {
		t.Errorf("asked %d times for one build", len(asked))
	}
}
