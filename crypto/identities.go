package crypto

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"filippo.io/age/plugin"
	"golang.org/x/crypto/ssh"
)

// maxIdentityFile bounds a file of identities, encrypted or not.
const maxIdentityFile = 1 << 20

// A UI is how identities ask their owner. They ask only when a file is opened
// that needs it.
type UI struct {
	// Passphrase shows the prompt and returns what was typed. If it is nil,
	// identities that need a passphrase fail.
	Passphrase func(prompt string) ([]byte, error)
	// Plugin serves identities of age plugins. If it is nil, they are refused.
	Plugin *plugin.ClientUI
}

// An IdentityError is the failure of an identity that matched a file, or had to
// ask to find out: a wrong passphrase, a plugin that is not installed. It says
// nothing about the file.
type IdentityError struct {
	Name string // of the identity file
	Err  error
}

func (e *IdentityError) Error() string { return fmt.Sprintf("identity %s: %v", e.Name, e.Err) }
func (e *IdentityError) Unwrap() error { return e.Err }

// ParseIdentities reads the private keys in an identity file: one of age, with
// native or plugin identities one a line, or encrypted with a passphrase as
// "age -p" does; or an SSH private key, ssh-ed25519 or ssh-rsa. name is that of
// the file and is used in prompts and errors; those never hold a part of it.
//
// The identities can be used concurrently. An identity that needs its owner is
// asked at most once at a time.
func ParseIdentities(r io.Reader, name string, ui UI) ([]age.Identity, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxIdentityFile+1))
	if err != nil {
		return nil, fmt.Errorf("read identity %s: %w", name, err)
	}
	if len(b) > maxIdentityFile {
		return nil, fmt.Errorf("identity %s: larger than %d bytes", name, maxIdentityFile)
	}
	ids, err := parseIdentities(b, name, ui)
	if err != nil {
		return nil, fmt.Errorf("identity %s: %w", name, err)
	}
	return ids, nil
}

func parseIdentities(b []byte, name string, ui UI) ([]age.Identity, error) {
	switch trimmed := bytes.TrimSpace(b); {
	case bytes.HasPrefix(b, []byte("age-encryption.org/")):
		return []age.Identity{&asking{name: name, Identity: &encryptedFile{sealed: b, name: name, ui: ui}}}, nil
	case bytes.HasPrefix(trimmed, []byte(armor.Header)):
		plain, err := io.ReadAll(armor.NewReader(bytes.NewReader(trimmed)))
		if err != nil {
			return nil, errors.New("malformed armor")
		}
		return []age.Identity{&asking{name: name, Identity: &encryptedFile{sealed: plain, name: name, ui: ui}}}, nil
	case publicPEM.Match(trimmed):
		return nil, errPublicKey
	case bytes.HasPrefix(trimmed, []byte("-----BEGIN")):
		id, err := parseSSH(trimmed, name, ui)
		if err != nil {
			return nil, err
		}
		return []age.Identity{id}, nil
	}
	return parseLines(b, name, ui)
}

var (
	errPublicKey = errors.New("this is a public key; opening needs the private one")
	publicPEM    = regexp.MustCompile(`^---- ?-?BEGIN ([A-Z0-9]+ )?PUBLIC KEY`)
	publicLine   = regexp.MustCompile(`^(age1|ssh-(ed25519|rsa|dss) |ecdsa-sha2-|sk-(ssh|ecdsa)-)`)
)

// parseLines parses an age identity file.
func parseLines(b []byte, name string, ui UI) ([]age.Identity, error) {
	var ids []age.Identity
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, err := parseLine(line, name, ui)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil, errors.New("there is no identity in it")
	}
	return ids, nil
}

// parseLine leaves the errors of the parsers it calls out: they may quote the key.
func parseLine(line, name string, ui UI) (age.Identity, error) {
	switch {
	case strings.HasPrefix(line, "AGE-SECRET-KEY-1"):
		if id, err := age.ParseX25519Identity(line); err == nil {
			return id, nil
		}
	case strings.HasPrefix(line, "AGE-SECRET-KEY-PQ-1"):
		if id, err := age.ParseHybridIdentity(line); err == nil {
			return id, nil
		}
	case strings.HasPrefix(line, "AGE-PLUGIN-"):
		if ui.Plugin == nil {
			return nil, errors.New("an identity of an age plugin can't be used here")
		}
		if id, err := plugin.NewIdentity(line, ui.Plugin); err == nil {
			return &asking{name: name, Identity: id}, nil
		}
	case publicLine.MatchString(line):
		return nil, errPublicKey
	default:
		return nil, errors.New("not an identity; age's start with AGE-SECRET-KEY-")
	}
	return nil, errors.New("malformed age identity")
}

func parseSSH(pem []byte, name string, ui UI) (age.Identity, error) {
	key, err := ssh.ParseRawPrivateKey(pem)
	var locked *ssh.PassphraseMissingError
	switch {
	case err == nil:
		id, err := agessh.ParseIdentity(pem)
		if err != nil {
			return nil, fmt.Errorf("an SSH key of this kind (%T) can't decrypt; use ssh-ed25519 or ssh-rsa", key)
		}
		return id, nil
	case !errors.As(err, &locked):
		return nil, errors.New("malformed SSH private key, or of a kind that can't decrypt; ssh-ed25519 and ssh-rsa can")
	case locked.PublicKey == nil:
		return nil, errors.New(`a passphrase protects this SSH key in an old format; convert it with "ssh-keygen -p -f FILE"`)
	}
	id, err := agessh.NewEncryptedSSHIdentity(locked.PublicKey, pem, func() ([]byte, error) {
		return ui.ask("passphrase for the SSH key " + name)
	})
	if err != nil {
		return nil, fmt.Errorf("an SSH key of this kind (%s) can't decrypt; use ssh-ed25519 or ssh-rsa", locked.PublicKey.Type())
	}
	return &asking{name: name, Identity: id}, nil
}

// asking makes an identity that may ask its owner safe for concurrent use, and
// tells its failures apart from those of the file.
type asking struct {
	mu sync.Mutex
	age.Identity
	name string
}

func (a *asking) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	key, err := a.Identity.Unwrap(stanzas)
	if err != nil && !errors.Is(err, age.ErrIncorrectIdentity) {
		return nil, &IdentityError{a.name, err}
	}
	return key, err
}

func (ui UI) ask(prompt string) ([]byte, error) {
	if ui.Passphrase == nil {
		return nil, errors.New("needs a passphrase, and there is no terminal to ask on")
	}
	return ui.Passphrase(prompt)
}

// An encryptedFile is an age identity file that a passphrase protects. It has
// to be decrypted to know whom it can open files for.
type encryptedFile struct {
	sealed []byte
	name   string
	ui     UI
	ids    []age.Identity // once decrypted
}

func (f *encryptedFile) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if f.ids == nil {
		if err := f.decrypt(); err != nil {
			return nil, err
		}
	}
	for _, id := range f.ids {
		key, err := id.Unwrap(stanzas)
		if !errors.Is(err, age.ErrIncorrectIdentity) {
			return key, err
		}
	}
	return nil, age.ErrIncorrectIdentity
}

func (f *encryptedFile) decrypt() error {
	passphrase, err := f.ui.ask("passphrase for the identity file " + f.name)
	if err != nil {
		return err
	}
	id, err := age.NewScryptIdentity(string(passphrase)) // which bounds the work factor
	if err != nil {
		return err
	}
	r, err := age.Decrypt(bytes.NewReader(f.sealed), id)
	if errors.Is(err, age.ErrIncorrectIdentity) {
		return errors.New("wrong passphrase")
	}
	if err != nil {
		return errors.New("not encrypted with a passphrase, or damaged")
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxIdentityFile))
	if err != nil {
		return errors.New("damaged")
	}
	f.ids, err = parseLines(plain, f.name, f.ui)
	return err
}
