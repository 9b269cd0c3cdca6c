// Command vitrine seals a job's logs to the people who look after its service,
// publishes them, shows the history to everybody, and opens the logs for those
// who hold a key.
//
// This package parses flags, joins the other packages and prints. Standard
// output is data; people read standard error. It must never print a secret, and
// never leave a file behind that was not written to its end.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// A second signal ends the process at once, as it would without this.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop()
	}()
	os.Exit(run(ctx, os.Args[1:]))
}
