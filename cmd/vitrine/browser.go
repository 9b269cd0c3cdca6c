package main

import (
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

var redirect = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={{.}}">
<title>vitrine</title>
<p><a href="{{.}}">Show the logs</a>
</html>
`))

// openBrowser has the reader's browser open an address that nobody else may know.
// The arguments of a process are for all users of a machine to see, so the browser
// gets a file that leads there and that only the reader may read; done removes it.
func openBrowser(address string) (done func(), err error) {
	dir, err := os.MkdirTemp("", "vitrine-view-") // 0700
	if err != nil {
		return func() {}, err
	}
	done = func() { os.RemoveAll(dir) }
	name := filepath.Join(dir, "open.html")
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return done, err
	}
	if err := errors.Join(redirect.Execute(f, address), f.Close()); err != nil {
		return done, err
	}
	args := browserCommand(os.Getenv("BROWSER"), runtime.GOOS, name)
	cmd := exec.Command(args[0], args[1:]...)
	ownSession(cmd) // the Ctrl-C that ends the view is not for the browser, which it may have started
	if err := cmd.Start(); err != nil {
		return done, fmt.Errorf("start %s: %w", args[0], err)
	}
	go cmd.Wait() // it may be the browser itself, and stay
	return done, nil
}

// browserCommand is what opens a file in the browser: the first of $BROWSER, where
// %s stands for the address, or else what the system has for it.
func browserCommand(browser, system, file string) []string {
	address := (&url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(filepath.ToSlash(file), "/")}).String()
	first, _, _ := strings.Cut(browser, string(os.PathListSeparator))
	if args := strings.Fields(first); len(args) > 0 {
		if !strings.Contains(first, "%s") {
			return append(args, address)
		}
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "%s", address)
		}
		return args
	}
	switch system {
	case "darwin":
		return []string{"open", file}
	case "windows":
		return []string{"rundll32", "url.dll,FileProtocolHandler", file}
	}
	return []string{"xdg-open", file}
}
