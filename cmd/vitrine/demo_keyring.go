package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing/object"
	"golang.org/x/crypto/ssh"
)

// demoKeys are the files that the demo's people would have on their machines.
type demoKeys struct {
	keyring string // the keyring, in a git work tree
	alice   string // age identity: reads codesearch and gitea
	bob     string // SSH private key: reads codesearch
	bridge  string // SSH private key of the publisher
}

var demoKeyringFiles = map[string]string{
	"services/codesearch.yaml": `description: Code search over every repository
url: https://codesearch.example.org
jobs: [infra-prod-service-codesearch, "codesearch-*"]
readers: [alice, bob]
publishers: [bridge]
public: ["screenshots/*.png", job-output.json]
retention: 180d
min_readers: 2
`,
	"services/gitea.yaml": `description: Git hosting
url: https://gitea.example.org
jobs: [infra-prod-service-gitea, infra-prod-base]
readers: [infra-root]
publishers: [bridge]
retention: 180d
`,
	"groups.yaml": "infra-root: [alice]\n",
}

// A demoCommit is a later change of the keyring.
type demoCommit struct {
	ago     time.Duration
	message string
	// files by path; {KEY} stands for a new age recipient, whose identity nobody
	// keeps, and {DAY} for a day that has passed.
	files map[string]string
}

var demoCommits = []demoCommit{
	{50 * demoDay, "Dave helps with codesearch for some weeks", map[string]string{
		"keys/dave.pub": "{KEY} expires={DAY}\n",
		"services/codesearch.yaml": strings.Replace(demoKeyringFiles["services/codesearch.yaml"],
			"[alice, bob]", "[alice, bob, dave]", 1),
	}},
	{18 * demoDay, "Carol joins infra-root, which reads codesearch too; its report is public", map[string]string{
		"keys/carol.pub": "{KEY}\n",
		"groups.yaml":    "infra-root: [alice, carol]\n",
		"services/codesearch.yaml": strings.NewReplacer("[alice, bob]", "[bob, dave, infra-root]", "job-output.json]", `job-output.json, "report/*"]`).
			Replace(demoKeyringFiles["services/codesearch.yaml"]),
	}},
}

const (
	demoDay     = 24 * time.Hour
	demoBegan   = 70 * demoDay // before now
	demoExpired = 9 * demoDay
)

// makeDemoKeyring makes keys and a keyring in a fresh git repository below a
// directory, or finds the ones that an earlier run made. Without later changes it
// is what the tests use.
func makeDemoKeyring(dir string, later ...demoCommit) (demoKeys, error) {
	k := demoKeys{
		keyring: filepath.Join(dir, "system-config", "keyring"),
		alice:   filepath.Join(dir, "alice.txt"),
		bob:     filepath.Join(dir, "bob_ed25519"),
		bridge:  filepath.Join(dir, "bridge_ed25519"),
	}
	// The publisher's key is made last of all, after the commit.
	if _, err := os.Stat(k.bridge); err == nil {
		return k, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if err := os.RemoveAll(filepath.Dir(k.keyring)); err != nil {
		return k, err
	}
	alice, err := age.GenerateX25519Identity()
	if err != nil {
		return k, err
	}
	bob, bobPublic, err := newSSHKey("bob")
	if err != nil {
		return k, err
	}
	bridge, bridgePublic, err := newSSHKey("bridge")
	if err != nil {
		return k, err
	}
	files := map[string]string{
		"keys/alice.pub":        alice.Recipient().String() + "\n",
		"keys/bob.pub":          bobPublic,
		"publishers/bridge.pub": bridgePublic,
	}
	for name, text := range demoKeyringFiles {
		files[name] = text
	}
	commits := append([]demoCommit{{demoBegan, "Who reads the logs of codesearch and gitea", files}}, later...)
	for _, c := range commits {
		if err := c.commit(k.keyring); err != nil {
			return k, err
		}
	}
	identity := fmt.Sprintf("# alice, of vitrine's demo\n# public key: %s\n%s\n", alice.Recipient(), alice)
	return k, errors.Join(
		writeNew(k.alice, identity, 0o600),
		writeNew(k.bob, bob, 0o600),
		writeNew(k.bridge, bridge, 0o600),
	)
}

// writeNew writes a file, replacing one that an interrupted run left.
func writeNew(path, text string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), mode)
}

// newSSHKey makes an ssh-ed25519 key pair in OpenSSH's forms.
func newSSHKey(comment string) (private, public string, err error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", "", err
	}
	block, err := ssh.MarshalPrivateKey(key, comment)
	if err != nil {
		return "", "", err
	}
	sshPub, err := ssh.NewPublicKey(pub)
	if err != nil {
		return "", "", err
	}
	return string(pem.EncodeToMemory(block)), string(ssh.MarshalAuthorizedKey(sshPub)), nil
}

// commit writes the files into a keyring, and commits them to the repository that
// it lies in, which is made if it is not there.
func (c demoCommit) commit(dir string) error {
	now := time.Now()
	for name, text := range c.files {
		someone, err := age.GenerateX25519Identity()
		if err != nil {
			return err
		}
		text = strings.NewReplacer("{KEY}", someone.Recipient().String(), "{DAY}", now.Add(-demoExpired).Format(time.DateOnly)).Replace(text)
		if err := writeNew(filepath.Join(dir, filepath.FromSlash(name)), text, 0o644); err != nil {
			return err
		}
	}
	dir = filepath.Dir(dir)
	repo, err := git.PlainOpen(dir)
	if errors.Is(err, git.ErrRepositoryNotExists) {
		repo, err = git.PlainInit(dir, false)
	}
	if err != nil {
		return fmt.Errorf("git init %s: %w", dir, err)
	}
	tree, err := repo.Worktree()
	if err != nil {
		return err
	}
	if err := tree.AddGlob("."); err != nil {
		return err
	}
	who := &object.Signature{Name: "vitrine demo", Email: "demo@example.org", When: now.Add(-c.ago)}
	if _, err := tree.Commit(c.message, &git.CommitOptions{Author: who}); err != nil {
		return fmt.Errorf("git commit in %s: %w", dir, err)
	}
	return nil
}

// demoCommitAt is the commit that the demo's keyring was at.
func demoCommitAt(dir string, t time.Time) (string, error) {
	repo, err := git.PlainOpen(filepath.Dir(dir))
	if err != nil {
		return "", err
	}
	log, err := repo.Log(&git.LogOptions{})
	if err != nil {
		return "", err
	}
	defer log.Close()
	for {
		c, err := log.Next()
		if err != nil {
			return "", fmt.Errorf("the keyring in %s as it was on %s: %w", dir, t.Format(time.DateOnly), err)
		}
		if !c.Committer.When.After(t) {
			return c.Hash.String(), nil
		}
	}
}
