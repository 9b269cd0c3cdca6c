package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"vitrine/client"
	"vitrine/crypto"
	"vitrine/remote"
	"vitrine/signature"
	"vitrine/storage"
)

// Exit codes, as `vitrine help` states them.
const (
	exitFailed     = 1
	exitUsage      = 2
	exitNoIdentity = 3
	exitUnverified = 4

	exitInterrupted = 130 // as of what a shell says an interrupt ended
)

// errUnverified is wrapped by what a check of a record or artifact found wrong.
var errUnverified = errors.New("verification failed")

// isUnverified reports whether an error says that something is not what it should
// be, as opposed to out of reach.
func isUnverified(err error) bool {
	return errors.Is(err, errUnverified) || errors.Is(err, crypto.ErrCorrupt) ||
		errors.Is(err, signature.ErrInvalid) || errors.Is(err, storage.ErrIntegrity) ||
		errors.Is(err, remote.ErrChanged) || errors.Is(err, remote.ErrWrong)
}

// An exitError ends vitrine with a code of its own and without a word: run has
// printed what there was to say.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit %d", e.code) }

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string) int {
	if os.Getenv("VITRINE_DEBUG") != "" {
		slog.SetLogLoggerLevel(slog.LevelDebug)
	}
	root := newRoot()
	started := false
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	root.SetArgs(args)
	defer leaveTerminal()
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var silent *exitError
	if errors.As(err, &silent) {
		return silent.code
	}
	code, text := exitCode(err), err.Error()
	if ctx.Err() != nil && code == exitFailed {
		// What it failed with is that it was told to stop. What is to be done then,
		// which stands below an error and is indented, stays.
		code = exitInterrupted
		lines := strings.Split(text, "\n")
		text = "interrupted"
		for _, l := range lines[1:] {
			if strings.HasPrefix(l, "  ") {
				text += "\n" + l
			}
		}
		if term.IsTerminal(int(os.Stderr.Fd())) {
			fmt.Fprintln(os.Stderr) // the terminal has written ^C somewhere
		}
	}
	fmt.Fprintf(os.Stderr, "vitrine: %s\n", text)
	if !started {
		code = exitUsage
		fmt.Fprintln(os.Stderr, "see vitrine help")
	}
	return code
}

// exitCode is the one place that maps errors to exit codes.
func exitCode(err error) int {
	var answer *client.StatusError
	switch {
	case errors.Is(err, errUsage), errors.Is(err, client.ErrNoBuild), errors.As(err, &answer) && answer.Problem.Status == http.StatusBadRequest:
		return exitUsage
	case isNoMatch(err), errors.Is(err, errNoIdentity):
		return exitNoIdentity
	case isUnverified(err):
		return exitUnverified
	}
	return exitFailed
}

// errUsage is wrapped by errors about the command line.
var errUsage = errors.New("wrong usage")

type usageError struct{ text string }

func (e *usageError) Error() string        { return e.text }
func (e *usageError) Is(target error) bool { return target == errUsage }

func usagef(format string, a ...any) error { return &usageError{fmt.Sprintf(format, a...)} }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "vitrine",
		Short: "Public deploy logs that only their service's maintainers can open",
		Long: `vitrine seals a job's logs to the people who look after its service, publishes
them, and shows everybody what was deployed when. Who can open them stands in a
keyring: a directory in git.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 no identity matches,
4 verification failed, 130 interrupted.`,
		Example: `  vitrine demo                        a whole example on this machine
  vitrine publish --job deploy-web --result SUCCESS logs/
  vitrine get 3f0c9a51 -o logs/`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	f := root.PersistentFlags()
	f.String("server", os.Getenv("VITRINE_SERVER"), "URL of the vitrine `server` (VITRINE_SERVER)")
	f.String("tenant", env("VITRINE_TENANT", "main"), "`name` of the history on the server (VITRINE_TENANT)")
	f.StringArrayP("identity", "i", nil, "`file` with an identity: age or SSH private key; repeatable (VITRINE_IDENTITY)")
	f.Bool("json", false, "print JSON")
	root.AddGroup(
		&cobra.Group{ID: "publish", Title: "Publish:"},
		&cobra.Group{ID: "read", Title: "Read:"},
		&cobra.Group{ID: "run", Title: "Run a server:"},
		&cobra.Group{ID: "keys", Title: "Keys and files:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("publish", publishCommand(), runCommand())
	add("read", buildsCommand(), showCommand(), whyCommand(), getCommand(), catCommand(), tailCommand(), lessCommand(), viewCommand(), grepCommand(), verifyCommand())
	add("run", demoCommand(), serveCommand(), reindexCommand(), gcCommand(), keepCommand(), storageCommand(), importCommand())
	add("keys", keyringCommand(), sealCommand(), openCommand())
	plainHelp(root)
	plainUsage(root)
	return root
}

func env(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

// newClient makes the client that the global flags describe.
func newClient(cmd *cobra.Command) (*client.Client, error) {
	server, _ := cmd.Flags().GetString("server")
	tenant, _ := cmd.Flags().GetString("tenant")
	if server == "" {
		return nil, usagef("which server? give --server URL or set VITRINE_SERVER")
	}
	c, err := client.New(server, tenant)
	if err != nil {
		return nil, usagef("%v", err)
	}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		c.OnStall = sync.OnceFunc(func() {
			onLine.Load().aside(func() { fmt.Fprintln(os.Stderr, "vitrine: the server stopped answering; trying again") })
		})
	}
	return c, nil
}

// useBuildURL takes server and tenant from the address of a build's page, so
// that a pasted address needs no flags.
func useBuildURL(cmd *cobra.Command, build string) {
	base, rest, ok := strings.Cut(build, "/t/")
	tenant, _, ok2 := strings.Cut(rest, "/build/")
	if ok && ok2 && strings.Contains(base, "://") {
		cmd.Flags().Set("server", base)
		cmd.Flags().Set("tenant", tenant)
	}
}

// resolve finds the build that an argument means, and the client to read it with.
func resolve(cmd *cobra.Command, build string) (*client.Client, string, error) {
	useBuildURL(cmd, build)
	c, err := newClient(cmd)
	if err != nil {
		return nil, "", err
	}
	uuid, err := c.Resolve(cmd.Context(), build)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("build %s: not in the history of this server", build)
	}
	return c, uuid, err
}
