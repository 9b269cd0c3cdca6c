package main

import (
	"github.com/spf13/cobra"
)

func tailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail BUILD [ARTIFACT]",
		Short: "Print the last lines of a log",
		Long: `tail prints the last lines of one artifact, 100 if -n does not say otherwise. It
fetches the end of it, not the whole: of a log of any size two or three requests.

Each piece that it prints is authenticated as sealed to you, and that the file
ends there. The hash in the record is one of the whole, so it is not checked;
vitrine verify does. A public file is not sealed: of one of more than 1 MiB nothing
is checked, and a shorter one is read whole and its hash is. On a terminal escape
sequences are shown as cat shows them, and --json prints what cat's does.

Of a build whose runner went away, --partial prints the last lines of what there
is, says on standard error where it ends, and exits with 1.`,
		Example: `  vitrine tail 3f0c9a51
  vitrine tail 3f0c9a51 ansible.log -n 20
  vitrine tail 3f0c9a51 ansible.log -n 100000 --pager`,
		Args: cobra.RangeArgs(1, 2),
		RunE: tail,
	}
	cmd.Flags().Int64P("number", "n", 100, "how many `lines`")
	cmd.Flags().Bool("line-numbers", false, "put the number of each line before it")
	outputFlags(cmd)
	partialFlag(cmd)
	keyringFlag(cmd)
	return cmd
}

func tail(cmd *cobra.Command, args []string) error {
	n, _ := cmd.Flags().GetInt64("number")
	if n < 0 {
		return usagef("-n %d: want a number of lines, from 0 on", n)
	}
	for _, arg := range args {
		if _, fragment := cutFragment(arg); fragment != "" {
			return usagef("%s: tail prints the last lines; vitrine cat prints those", fragment)
		}
	}
	paged, _ := cmd.Flags().GetBool("pager")
	return printLog(cmd, args, part{kind: lastLines, from: n}, paged)
}
