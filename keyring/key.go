package keyring

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/tag"
	"golang.org/x/crypto/ssh"
)

const (
	maxKeyLine = 8 << 10 // bytes, as sshd has it
	minRSABits = 3072
	maxRSABits = 16384
)

// A Key is one public key of a person.
type Key struct {
	Kind string // X25519, hybrid, tag, tag-pq, ssh-ed25519 or ssh-rsa

	// Fingerprint names the key in a record and to people. It is SHA256:… as
	// ssh-keygen -l prints it for an ssh key, the key itself for an age key of
	// ordinary length, and age1pq1:SHA256:… or age1tagpq1:SHA256:…, a hash of
	// the key as it is written, for a post-quantum one.
	Fingerprint string

	Expires   time.Time // the last moment of its last day; zero: never
	Recipient age.Recipient

	canonical string // the same for every spelling of the key
	line      int    // in the person's file
}

// Expired reports whether the key must no longer be sealed to at a time.
func (k Key) Expired(at time.Time) bool { return !k.Expires.IsZero() && at.After(k.Expires) }

// Fits reports whether a service of the class seals to the key.
func (k Key) Fits(class string) bool {
	if class == Private {
		return k.Kind == "X25519"
	}
	return k.Class() == class
}

// Class is the key's class, [Classic] or [PostQuantum].
func (k Key) Class() string {
	if k.Kind == "hybrid" || k.Kind == "tag-pq" {
		return PostQuantum
	}
	return Classic
}

// ParseKey parses one line of a person's key file: a public key, a comment
// after an ssh key, and maybe expires=YYYY-MM-DD. Errors never hold a part of
// the line that could be secret.
func ParseKey(line string) (Key, error) {
	fields, err := keyFields(line)
	if err != nil {
		return Key{}, err
	}
	var k Key
	if last := fields[len(fields)-1]; strings.HasPrefix(last, "expires=") {
		day, err := time.Parse(time.DateOnly, strings.TrimPrefix(last, "expires="))
		if err != nil || day.Year() < 2000 || day.Year() > 2200 {
			return Key{}, errors.New("bad expiry: want expires=YYYY-MM-DD")
		}
		k.Expires = day.Add(24*time.Hour - 1)
		fields = fields[:len(fields)-1]
	}
	for _, f := range fields {
		// A misspelt expiry must not pass for a comment.
		if strings.HasPrefix(strings.ToLower(f), "expire") {
			return Key{}, errors.New("expires=YYYY-MM-DD must be the last word of the line")
		}
	}
	if len(fields) == 0 {
		return Key{}, errors.New("an expiry without a key")
	}
	if strings.HasPrefix(fields[0], "age1") {
		err = k.parseAge(fields)
	} else {
		err = k.parseSSH(fields)
	}
	if err != nil {
		return Key{}, err
	}
	// A key can be well-formed and still be one that nothing can be sealed to
	// (a point of low order). Better told here than by a deploy.
	if _, err := k.Recipient.Wrap(make([]byte, 16)); err != nil {
		return Key{}, fmt.Errorf("nothing can be sealed to this %s key", k.Kind)
	}
	return k, nil
}

// keyFields checks what holds for every key line and splits it into words.
func keyFields(line string) ([]string, error) {
	if len(line) > maxKeyLine {
		return nil, fmt.Errorf("line is longer than %d bytes", maxKeyLine)
	}
	if isPrivateKey(line) {
		return nil, errPrivateKey
	}
	for i := range len(line) {
		if c := line[i]; c >= 0x80 {
			return nil, errors.New("has a character that is not ASCII")
		} else if c < ' ' && c != '\t' || c == 0x7f {
			return nil, fmt.Errorf("has a control character (%U)", c)
		}
	}
	fields := strings.Fields(line)
	if len(fields) == 0 {
		return nil, errors.New("no key")
	}
	return fields, nil
}

func (k *Key) parseAge(fields []string) error {
	s := fields[0]
	if len(fields) > 1 {
		return errors.New("only expires=YYYY-MM-DD may follow an age key; a comment goes on a line of its own, after #")
	}
	var r interface {
		age.Recipient
		String() string
	}
	var err error
	var prefix string
	switch {
	case strings.HasPrefix(s, "age1pq1"):
		k.Kind, prefix = "hybrid", "age1pq1"
		r, err = age.ParseHybridRecipient(s)
	case strings.HasPrefix(s, "age1tagpq1"):
		k.Kind, prefix = "tag-pq", "age1tagpq1"
		r, err = tag.ParseRecipient(s)
	case strings.HasPrefix(s, "age1tag1"):
		k.Kind, prefix = "tag", "age1tag1"
		r, err = tag.ParseRecipient(s)
	case strings.LastIndexByte(s, '1') > len("age"):
		// bech32 ends its prefix at the last 1, so this names a plugin.
		return errors.New("recipients of age plugins are refused: sealing to one runs a program on every runner; " +
			"for a hardware key use its age1tag1… form")
	default:
		k.Kind, prefix = "X25519", "age1"
		r, err = age.ParseX25519Recipient(s)
	}
	if err != nil {
		return fmt.Errorf("not a whole %s… key: it is cut off or mistyped", prefix)
	}
	k.Recipient, k.canonical, k.Fingerprint = r, r.String(), r.String()
	if k.Class() == PostQuantum {
		sum := sha256.Sum256([]byte(k.canonical))
		k.Fingerprint = prefix + ":SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
	}
	return nil
}

func (k *Key) parseSSH(fields []string) error {
	switch t := fields[0]; {
	case strings.HasPrefix(strings.ToLower(t), "scrypt"):
		return errors.New("passphrase (scrypt) recipients are refused: a passphrase in git is known to all")
	case strings.HasPrefix(t, "sk-"):
		return fmt.Errorf("%s keys can sign, but nothing can be sealed to them; for a hardware key use an age1tag1… key", sshTypeName(t))
	case strings.HasPrefix(t, "ecdsa-"):
		return errors.New("ecdsa keys can sign, but nothing can be sealed to them; use ssh-ed25519 or age1…")
	}
	pub, err := parseSSHKey(fields)
	if err != nil {
		return err
	}
	switch pub.Type() {
	case ssh.KeyAlgoED25519:
		k.Recipient, err = agessh.NewEd25519Recipient(pub)
	case ssh.KeyAlgoRSA:
		bits := pub.(ssh.CryptoPublicKey).CryptoPublicKey().(*rsa.PublicKey).N.BitLen()
		if bits < minRSABits || bits > maxRSABits {
			return fmt.Errorf("ssh-rsa key of %d bit: want %d to %d; ssh-ed25519 or age1… is better", bits, minRSABits, maxRSABits)
		}
		k.Recipient, err = agessh.NewRSARecipient(pub)
	default:
		return errNotPublicKey
	}
	if err != nil {
		return fmt.Errorf("nothing can be sealed to this %s key", pub.Type())
	}
	k.Kind, k.canonical, k.Fingerprint = pub.Type(), canonicalSSH(pub), ssh.FingerprintSHA256(pub)
	return nil
}

// parsePublisherKey parses one line of a publisher's key file.
func parsePublisherKey(line string) (ssh.PublicKey, error) {
	fields, err := keyFields(line)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		if strings.HasPrefix(strings.ToLower(f), "expire") {
			return nil, errors.New("a publisher's key has no expiry: remove the line to retire the key, the records that it signed keep their commit")
		}
	}
	if strings.HasPrefix(fields[0], "age1") {
		return nil, errors.New("an age key can't sign; a publisher needs an ssh-ed25519 key")
	}
	pub, err := parseSSHKey(fields)
	if err != nil {
		return nil, err
	}
	if t := pub.Type(); t != ssh.KeyAlgoED25519 && t != ssh.KeyAlgoSKED25519 {
		return nil, fmt.Errorf("%s keys may not sign records; want %s or %s", sshTypeName(t), ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519)
	}
	return pub, nil
}

var (
	errPrivateKey = errors.New("this is a private key: whoever saw this file can use it; " +
		"remove it, also from git's history, and make a new one")
	errNotPublicKey = errors.New("not a public key: want age1…, age1pq1…, age1tag1…, age1tagpq1…, ssh-ed25519 … or ssh-rsa …")
)

// sshTypes are the key types whose names may be printed: anything else could be
// a piece of something secret.
var sshTypes = []string{
	ssh.KeyAlgoED25519, ssh.KeyAlgoRSA, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
	ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, "ssh-dss",
}

func sshTypeName(t string) string {
	if slices.Contains(sshTypes, t) {
		return t
	}
	return "such"
}

// parseSSHKey parses the words of an authorized_keys line without options.
func parseSSHKey(fields []string) (ssh.PublicKey, error) {
	t := fields[0]
	switch {
	case strings.Contains(t, "-cert-v0"):
		return nil, errors.New("certificates are refused: put the public key itself here")
	case t == "ssh-dss":
		return nil, errors.New("ssh-dss keys are too weak; make a new one: ssh-keygen -t ed25519")
	case !slices.Contains(sshTypes, t):
		if slices.ContainsFunc(fields[1:], func(f string) bool { return slices.Contains(sshTypes, f) }) {
			return nil, errors.New("options in front of a key are refused")
		}
		return nil, errNotPublicKey
	case len(fields) < 2:
		return nil, fmt.Errorf("%s without the key itself", t)
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	if err != nil {
		return nil, fmt.Errorf("not a whole %s key: it is cut off or mistyped", t)
	}
	pub, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return nil, fmt.Errorf("not a whole %s key: it is cut off or mistyped", t)
	}
	// One key, one spelling: otherwise two lines could be the same key unseen.
	if pub.Type() != t || !bytes.Equal(pub.Marshal(), blob) {
		return nil, fmt.Errorf("the line says %s, and the key itself is not one", t)
	}
	return pub, nil
}

// canonicalSSH is what two lines of one key have in common.
func canonicalSSH(pub ssh.PublicKey) string { return pub.Type() + " " + string(pub.Marshal()) }

// isPrivateKey recognises a private key by its beginning, whatever its form.
func isPrivateKey(line string) bool {
	up := strings.ToUpper(line)
	return strings.Contains(up, "AGE-SECRET-KEY-") || strings.Contains(up, "AGE-PLUGIN-") ||
		strings.Contains(up, "PRIVATE KEY-----") || strings.Contains(up, "PUTTY-USER-KEY-FILE")
}

// keyLines calls parse for each line of a key file that should be a key, and
// reports the errors it returns.
func keyLines(f file, r *report, parse func(line string, n int) error) {
	inside := false // of a private key, whose lines must not be looked at
	n := 0
	for line := range strings.Lines(string(f.data)) {
		n++
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if inside {
			inside = !strings.Contains(line, "-----END ")
			continue
		}
		err := error(nil)
		if strings.HasPrefix(strings.TrimLeft(line, " \t"), "#") {
			_, err = keyFields(line) // held to ASCII, too: a reviewer reads it
		} else if line != "" {
			err = parse(line, n)
		}
		if err == errPrivateKey {
			up := strings.ToUpper(line)
			inside = strings.Contains(up, "-----BEGIN ") && !strings.Contains(up, "-----END ") || strings.Contains(up, "PUTTY")
		}
		if err != nil {
			r.errorf(f.path, n, "%v", err)
		}
	}
}
