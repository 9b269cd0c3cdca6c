package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// plainHelp has help of a command that there is not be wrong usage.
func plainHelp(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help, _, _ := root.Find([]string{"help"})
	show := help.Run
	help.Run, help.RunE = nil, func(cmd *cobra.Command, args []string) error {
		if _, rest, err := root.Find(args); err != nil || len(rest) > 0 {
			return usagef("there is no command %q: vitrine help lists them", strings.Join(args, " "))
		}
		show(cmd, args)
		return nil
	}
}

// plainUsage has a command and those below it say what they want where cobra and
// strconv would say what they got.
func plainUsage(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		var number *strconv.NumError
		if !errors.As(err, &number) {
			return err
		}
		said, _, _ := strings.Cut(err.Error(), "strconv.")
		switch {
		case number.Func == "ParseBool":
			return usagef("%swant true or false", said)
		case errors.Is(err, strconv.ErrRange):
			return usagef("%sthe number is too large", said)
		}
		return usagef("%swant a number", said)
	})
	if cmd.HasParent() && cmd.HasSubCommands() { // cobra would print help, and call it a success
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command %q: %s --help lists them", args[0], cmd.CommandPath())
			}
			return cmd.Help()
		}
		cmd.Args = cobra.ArbitraryArgs
	} else if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if check(cmd, args) == nil {
				return nil
			}
			if len(args) == 0 && strings.HasPrefix(cmd.Use, cmd.Name()+" BUILD") {
				return usagef("which build? give its uuid, the start of one, or the address of its page")
			}
			return usagef("want vitrine %s", strings.TrimPrefix(cmd.Parent().CommandPath()+" "+cmd.Use, "vitrine "))
		}
	}
	for _, c := range cmd.Commands() {
		plainUsage(c)
	}
}
