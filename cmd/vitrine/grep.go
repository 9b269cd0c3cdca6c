package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"vitrine"
	"vitrine/grep"
)

// exitIncomplete is what grep ends with if not all of the builds could be searched.
const exitIncomplete = 5

func grepCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "grep REGEXP [BUILD…]",
		Short: "Search the logs of a history",
		Long: `grep searches the logs of all builds, of those that the filters leave, or of the
named ones, newest first, and prints the lines that match: in a pipe one a line as
BUILD/ARTIFACT:LINE:text, with - in place of : for lines around a match. With
--json each is an object. Filters are those of vitrine builds.

REGEXP has Go's syntax (RE2) and is held against single lines. Logs with a search
index are read only where they can match; what was fetched stays, sealed as it is,
in a cache of this machine.

-i ignores case, as it does elsewhere; name a key with --identity.

Exit status: 0 a line matched, 1 none did, 2 wrong usage, 130 interrupted. If
something goes wrong with a build, that is told on standard error, the others are
searched, and it is 4 if verification failed, and else 5. Builds that can't be
searched, since they run, are lost, imported or expired, or are sealed to others,
are told too, but are no failure unless they were named: then it is 3 if they are
sealed to others, and else 5. It is 3 as well if your identities open none at all.`,
		Example: `  vitrine grep 'fatal: .*UNREACHABLE' --service codesearch --since 30d
  vitrine grep -F 'no space left' --job 'infra-prod-*' --result FAILURE --last 200 -l
  vitrine grep -i timeout 3f0c9a51 -C 3`,
		Args: cobra.MinimumNArgs(1),
		RunE: grepHistory,
	}
	f := cmd.Flags()
	// Without this one's shorthand, which is taken by what it means to everybody's grep.
	f.StringArray("identity", nil, "`file` with an identity: age or SSH private key; repeatable (VITRINE_IDENTITY)")
	f.BoolP("ignore-case", "i", false, "ignore case")
	f.BoolP("fixed-strings", "F", false, "the pattern is a text, and no regular expression")
	f.IntP("after-context", "A", 0, "print this `number` of lines after each match")
	f.IntP("before-context", "B", 0, "print this `number` of lines before each match")
	f.IntP("context", "C", 0, "print this `number` of lines before and after each match")
	f.BoolP("count", "c", false, "print how many lines of each log match")
	f.BoolP("files-with-matches", "l", false, "print which logs have a match")
	f.Int64P("max-count", "m", 0, "no more than this `number` of matches in a log; 0 means all")
	// What fingers are used to: it is as these have it anyway.
	f.BoolP("line-number", "n", true, "print the numbers of lines")
	f.BoolP("extended-regexp", "E", true, "the pattern is a regular expression")
	f.MarkHidden("line-number")
	f.MarkHidden("extended-regexp")
	filterFlags(cmd)
	f.Int("last", 0, "only the last `number` of these builds; 0 means all")
	f.StringArray("artifact", nil, "only artifacts with this `path`, with * as in names; any of these if repeated, and if none is given all text")
	f.Bool("no-index", false, "read all of the logs, whatever their search indexes tell")
	cacheFlags(cmd)
	keyringFlag(cmd)
	return cmd
}

func grepHistory(cmd *cobra.Command, args []string) error {
	err := searchHistory(cmd, args)
	if err != nil && exitCode(err) == exitFailed && !errors.As(err, new(*exitError)) && cmd.Context().Err() == nil {
		fmt.Fprintf(os.Stderr, "vitrine: %s\n", err)
		return &exitError{exitIncomplete} // 1 would mean that there is no match
	}
	return err
}

func searchHistory(cmd *cobra.Command, args []string) error {
	g, err := newGrepper(cmd, args)
	if err != nil {
		return err
	}
	builds, err := g.chooseBuilds(cmd, args[1:])
	if err != nil {
		return err
	}
	return g.run(cmd.Context(), builds)
}

// newGrepper does what can be done before anything is fetched.
func newGrepper(cmd *cobra.Command, args []string) (*grepper, error) {
	f := cmd.Flags()
	yes := func(name string) bool { v, _ := f.GetBool(name); return v }
	number := func(name string) int { v, _ := f.GetInt(name); return v }
	for _, name := range []string{"after-context", "before-context", "context", "max-count", "last"} {
		if strings.HasPrefix(f.Lookup(name).Value.String(), "-") {
			return nil, usagef("--%s %s: want a number from 0 on", name, f.Lookup(name).Value)
		}
	}
	if _, err := os.Stat(args[0]); err == nil && yes("ignore-case") && len(args) > 1 {
		return nil, usagef("-i ignores case here, so %q would be the pattern: name your key with --identity", args[0])
	}
	g := &grepper{noIndex: yes("no-index")}
	var err error
	if g.pattern, err = grep.Compile(args[0], yes("fixed-strings"), yes("ignore-case")); err != nil {
		return nil, usagef("%v", err)
	}
	g.options.Before, g.options.After = number("context"), number("context")
	if f.Changed("before-context") {
		g.options.Before = number("before-context")
	}
	if f.Changed("after-context") {
		g.options.After = number("after-context")
	}
	g.options.Max, _ = f.GetInt64("max-count")
	g.form.json, g.form.count, g.form.list = yes("json"), yes("count"), yes("files-with-matches")
	g.options.CountOnly = g.form.count || g.form.list
	if g.form.list {
		g.options.Max = 1
	}
	g.form.context = g.options.Before+g.options.After > 0
	tty := term.IsTerminal(int(os.Stdout.Fd()))
	g.form.terminal = tty && !g.form.json
	g.form.plain = os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb"
	g.progress = tty // elsewhere lines may end up on the same terminal, under it
	artifacts, _ := f.GetStringArray("artifact")
	for _, text := range artifacts {
		glob, err := vitrine.ParseGlob(text)
		if err != nil {
			return nil, usagef("--artifact: %v", err)
		}
		g.artifacts = append(g.artifacts, glob)
	}
	if g.cache, g.records, err = openCaches(cmd); err != nil {
		return nil, err
	}
	if g.keyring, err = openKeyring(cmd); err != nil {
		return nil, err
	}
	g.identities = sync.OnceValues(func() ([]age.Identity, error) { return identities(cmd) })
	if len(args) > 1 {
		useBuildURL(cmd, args[1])
	}
	g.client, err = newClient(cmd)
	return g, err
}

// A buildSource gives the builds to search, in their order.
type buildSource func(ctx context.Context, yield func(vitrine.Build) bool) error

// chooseBuilds makes the source of the builds that were named, or of those that
// the filters leave.
func (g *grepper) chooseBuilds(cmd *cobra.Command, named []string) (buildSource, error) {
	last, _ := cmd.Flags().GetInt("last")
	if g.named = len(named) > 0; g.named {
		if filtered(cmd) || last != 0 {
			return nil, usagef("name builds, or filter them: not both")
		}
		return g.namedBuilds(named), nil
	}
	chosen, err := chosenBuilds(cmd, last)
	return func(ctx context.Context, yield func(vitrine.Build) bool) error {
		for b, err := range chosen.list(ctx, g.client) {
			if err != nil {
				return err
			}
			if !yield(b) {
				break
			}
		}
		return nil
	}, err
}

func (g *grepper) namedBuilds(named []string) buildSource {
	return func(ctx context.Context, yield func(vitrine.Build) bool) error {
		searched := make(map[string]bool)
		for _, name := range named {
			uuid, err := g.client.Resolve(ctx, name)
			if searched[uuid] {
				continue
			}
			searched[uuid] = err == nil
			var detail vitrine.BuildDetail
			if err == nil {
				detail, err = g.client.Build(ctx, uuid)
			}
			if err != nil {
				return notInHistory(name, err)
			}
			if !yield(detail.Build) {
				break
			}
		}
		return nil
	}
}

// notInHistory says of a build that was named what its error means.
func notInHistory(build string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("build %s: not in the history of this server", build)
	}
	return err
}
