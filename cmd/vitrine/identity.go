package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"vitrine"
	"vitrine/crypto"
)

// errNoIdentity says that there is nothing to open a sealed file with.
var errNoIdentity = errors.New("no identity")

// identitiesFor loads the reader's identities if one of the artifacts is sealed.
func identitiesFor(cmd *cobra.Command, artifacts []vitrine.Artifact) ([]age.Identity, error) {
	for _, a := range artifacts {
		if a.Sealed {
			return identities(cmd)
		}
	}
	return nil, nil
}

// identities loads those of -i, or else of VITRINE_IDENTITY, or else of the
// usual places.
func identities(cmd *cobra.Command) ([]age.Identity, error) {
	named, _ := cmd.Flags().GetStringArray("identity")
	if len(named) == 0 {
		named = filepath.SplitList(os.Getenv("VITRINE_IDENTITY"))
	}
	usual := usualIdentities()
	files := named
	if len(named) == 0 {
		files = usual
	}
	var ids []age.Identity
	for _, name := range files {
		more, err := loadIdentities(cmd.Context(), name)
		if len(named) == 0 && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		ids = append(ids, more...)
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("%w: give -i FILE with your age or SSH private key, or set VITRINE_IDENTITY; looked for %s",
			errNoIdentity, cmp.Or(strings.Join(usual, ", "), "nothing, since there is no home directory"))
	}
	return ids, nil
}

// identitiesAtHand loads all that -i names, or else what VITRINE_IDENTITY names, or
// the usual places have, that asks its owner nothing. There may be none.
func identitiesAtHand(cmd *cobra.Command) ([]age.Identity, error) {
	if named, _ := cmd.Flags().GetStringArray("identity"); len(named) > 0 {
		return identities(cmd)
	}
	files := filepath.SplitList(os.Getenv("VITRINE_IDENTITY"))
	if len(files) == 0 {
		files = usualIdentities()
	}
	var ids []age.Identity
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		more, err := crypto.ParseIdentities(f, name, crypto.UI{})
		f.Close()
		if err == nil {
			ids = append(ids, more...)
		}
	}
	return ids, nil
}

func usualIdentities() []string {
	var files []string
	if dir, err := os.UserConfigDir(); err == nil {
		files = append(files, filepath.Join(dir, "vitrine", "identity.txt"))
	}
	if home, err := os.UserHomeDir(); err == nil {
		files = append(files, filepath.Join(home, ".ssh", "id_ed25519"), filepath.Join(home, ".ssh", "id_rsa"))
	}
	return files
}

func loadIdentities(ctx context.Context, name string) ([]age.Identity, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	defer f.Close()
	return crypto.ParseIdentities(f, name, crypto.UI{
		Passphrase: func(prompt string) ([]byte, error) { return askPassphrase(ctx, prompt) },
		Plugin:     pluginUI(ctx),
	})
}
