package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"vitrine/keyring"
)

// maxKeyFile bounds what is read as a file of public keys.
const maxKeyFile = 256 << 10

func keyringAddReaderCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "add-reader SERVICE NAME [KEYFILE|-]",
		Short: "Make a person a reader of a service",
		Long: `Make a person a reader of a service: add the keys in KEYFILE (or - for standard
input) to keys/NAME.pub, and the name to the service's readers. Comments and
layout of the files stay. Nothing is written if the keyring would not be valid.
Commit the change and propose it; who reviews it decides.`,
		Example: `  vitrine keyring add-reader codesearch carol ~/.ssh/id_ed25519.pub
  age-keygen -y identity.txt | vitrine keyring add-reader codesearch carol -`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := keyringDir(cmd)
			if err != nil {
				return err
			}
			var keys []string
			if len(args) == 3 {
				if keys, err = readKeyLines(cmd.InOrStdin(), args[2]); err != nil {
					return err
				}
			}
			changed, err := keyring.AddReader(dir, args[0], args[1], keys)
			if err != nil {
				return err
			}
			return printChanged(cmd, dir, changed)
		},
	}
}

// readKeyLines reads a file of public keys.
func readKeyLines(stdin io.Reader, name string) ([]string, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("read keys from %s: %w", name, err)
	}
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("read keys from %s: larger than %d kB", name, maxKeyFile>>10)
	}
	return strings.Split(string(data), "\n"), nil
}

func keyringAddServiceCommand() *cobra.Command {
	var o keyring.ServiceOptions
	cmd := &cobra.Command{
		Use:     "add-service NAME",
		Short:   "Add a service with its jobs, readers and publishers",
		Example: `  vitrine keyring add-service paste --job 'infra-prod-paste-*' --reader alice --reader bob --publisher bridge --retention 180d`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := keyringDir(cmd)
			if err != nil {
				return err
			}
			changed, err := keyring.AddService(dir, args[0], o)
			if err != nil {
				return err
			}
			return printChanged(cmd, dir, changed)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.Jobs, "job", nil, "`glob` of the jobs that it owns; repeatable")
	f.StringArrayVar(&o.Readers, "reader", nil, "`name` of a person or group; repeatable")
	f.StringArrayVar(&o.Publishers, "publisher", nil, "`name` of a publisher; repeatable")
	f.StringArrayVar(&o.Public, "public", nil, "`glob` of paths that may be published unsealed; repeatable")
	f.StringVar(&o.Description, "description", "", "`text` about it")
	f.StringVar(&o.URL, "url", "", "`URL` of the service itself")
	f.StringVar(&o.Retention, "retention", "", "how long logs are kept, such as 180d (default: for ever)")
	f.IntVar(&o.MinReaders, "min-readers", 0, "`number` of usable readers below which nothing is published")
	f.StringVar(&o.Class, "class", "", "`class` of keys to seal to: classic, pq or private")
	return cmd
}

// printChanged prints the paths of changed files, for git add.
func printChanged(cmd *cobra.Command, dir string, changed []string) error {
	if len(changed) == 0 {
		_, err := fmt.Fprintln(cmd.ErrOrStderr(), "nothing to change: the keyring says so already")
		return err
	}
	for _, path := range changed {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), filepath.Join(dir, filepath.FromSlash(path))); err != nil {
			return err
		}
	}
	return nil
}
