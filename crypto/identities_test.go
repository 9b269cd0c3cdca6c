package crypto

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"filippo.io/age/plugin"
	"golang.org/x/crypto/ssh"
)

// sshKey returns a private key file and the line of its public key.
func sshKey(t *testing.T, key any, passphrase string) (private, public string) {
	t.Helper()
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// withPassphrase encrypts as age -p does, but with less work.
func withPassphrase(t *testing.T, plain, passphrase string, armored bool) string {
	t.Helper()
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(4)
	var b bytes.Buffer
	var dst io.WriteCloser = struct {
		io.Writer
		io.Closer
	}{&b, io.NopCloser(nil)}
	if armored {
		dst = armor.NewWriter(&b)
	}
	w, err := age.Encrypt(dst, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, plain); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), dst.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestIdentitiesOpen(t *testing.T) {
	native := newKey(t)
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ed, edPublic := sshKey(t, edKey, "")
	edLocked, _ := sshKey(t, edKey, "sesame")
	rsaPlain, rsaPublic := sshKey(t, rsaKey, "")
	recipient := func(line string) age.Recipient {
		r, err := agessh.ParseRecipient(line)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	file := "# created: today\n\n" + native.String() + "\n"
	for _, c := range []struct {
		name, file string
		recipient  age.Recipient
		asks       int
	}{
		{"X25519", file, native.Recipient(), 0},
		{"X25519 without line break", native.String(), native.Recipient(), 0},
		{"X25519 of Windows", strings.ReplaceAll(file, "\n", "\r\n"), native.Recipient(), 0},
		{"post-quantum", hybrid.String() + "\n", hybrid.Recipient(), 0},
		{"ssh-ed25519", ed, recipient(edPublic), 0},
		{"ssh-rsa", rsaPlain, recipient(rsaPublic), 0},
		{"ssh-ed25519 with passphrase", edLocked, recipient(edPublic), 1},
		{"encrypted", withPassphrase(t, file, "sesame", false), native.Recipient(), 1},
		{"encrypted and armored", "\n" + withPassphrase(t, file, "sesame", true), native.Recipient(), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := 0
			ids, err := ParseIdentities(strings.NewReader(c.file), "key.txt", UI{Passphrase: func(prompt string) ([]byte, error) {
				asked++
				if !strings.Contains(prompt, "key.txt") {
					t.Errorf("prompt %q does not name the file", prompt)
				}
				return []byte("sesame"), nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			if asked > 0 {
				t.Error("asked before it was needed")
			}
			sealed := seal(t, []byte("a log\n"), c.recipient)
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					if got, err := openAll(sealed, ids...); err != nil || string(got) != "a log\n" {
						t.Errorf("%q, %v", got, err)
					}
				})
			}
			wg.Wait()
			if asked != c.asks {
				t.Errorf("asked %d times, want %d", asked, c.asks)
			}
		})
	}
}

func TestIdentityIsAskedOnlyIfNoOtherFits(t *testing.T) {
	native, other := newKey(t), newKey(t)
	ui := UI{Passphrase: func(string) ([]byte, error) {
		t.Error("asked")
		return nil, errors.New("no")
	}}
	locked, err := ParseIdentities(strings.NewReader(withPassphrase(t, other.String(), "x", false)), "locked", ui)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, public := sshKey(t, edKey, "")
	plain, err := ParseIdentities(strings.NewReader(private), "ssh", ui)
	if err != nil {
		t.Fatal(err)
	}
	recipient, err := agessh.ParseRecipient(public)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []age.Recipient{native.Recipient(), recipient} {
		if _, err := openAll(seal(t, []byte("x"), r), locked[0], plain[0], native); err != nil {
			t.Error(err)
		}
	}
}

func TestIdentityFailsByItself(t *testing.T) {
	native := newKey(t)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edLocked, edPublic := sshKey(t, edKey, "sesame")
	ssh, err := agessh.ParseRecipient(edPublic)
	if err != nil {
		t.Fatal(err)
	}
	encrypted := withPassphrase(t, native.String(), "sesame", false)
	wrong := UI{Passphrase: func(string) ([]byte, error) { return []byte("wrong"), nil }}
	gone := UI{Passphrase: func(string) ([]byte, error) { return nil, errors.New("interrupted") }}
	pluginUI := UI{Plugin: &plugin.ClientUI{}}
	for _, c := range []struct {
		name, file string
		recipient  age.Recipient
		ui         UI
		want       string
	}{
		{"wrong passphrase", encrypted, native.Recipient(), wrong, "wrong passphrase"},
		{"wrong SSH passphrase", edLocked, ssh, wrong, "password incorrect"},
		{"no terminal", encrypted, native.Recipient(), UI{}, "no terminal"},
		{"no terminal for SSH", edLocked, ssh, UI{}, "no terminal"},
		{"interrupted", encrypted, native.Recipient(), gone, "interrupted"},
		{"damaged", encrypted[:len(encrypted)-3], native.Recipient(), UI{Passphrase: func(string) ([]byte, error) { return []byte("sesame"), nil }}, "damaged"},
		{"encrypted to a key", string(seal(t, []byte(native.String()), newKey(t).Recipient())), native.Recipient(), wrong, "passphrase"},
		{"no such plugin", plugin.EncodeIdentity("nonesuch", []byte("x")), native.Recipient(), pluginUI, "age-plugin-nonesuch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ids, err := ParseIdentities(strings.NewReader(c.file), "key.txt", c.ui)
			if err != nil {
				t.Fatal(err)
			}
			_, err = openAll(seal(t, []byte("x"), c.recipient), ids...)
			var identity *IdentityError
			if !errors.As(err, &identity) || errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "key.txt") {
				t.Errorf("error %v; want an IdentityError that says %q", err, c.want)
			}
		})
	}
}

func TestIdentityFilesRefused(t *testing.T) {
	native := newKey(t).String()
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, _ := sshKey(t, ecKey, "")
	ecLocked, ecPublic := sshKey(t, ecKey, "x")
	oldLocked := "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
	broken := native[:20] + "b" + native[20:]
	for _, c := range []struct{ name, file, want string }{
		{"empty", "", "no identity"},
		{"only comments", "# x\n", "no identity"},
		{"text", "hello\n", "line 1: not an identity"},
		{"second line broken", native + "\n" + broken + "\n", "line 2: malformed age identity"},
		{"lower case", strings.ToLower(native), "line 1: not an identity"},
		{"broken post-quantum", "AGE-SECRET-KEY-PQ-1AAAA", "malformed age identity"},
		{"broken plugin", "AGE-PLUGIN-YUBIKEY-1AAAA", "plugin"},
		{"plugin without UI", plugin.EncodeIdentity("yubikey", []byte("x")), "plugin"},
		{"age public key", "# x\nage1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj\n", "line 2: this is a public key"},
		{"SSH public key", ecPublic, "public key"},
		{"PEM public key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "public key"},
		{"SSH2 public key", "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n", "public key"},
		{"ecdsa", ec, "ssh-ed25519"},
		{"ecdsa with passphrase", ecLocked, "ssh-ed25519"},
		{"broken SSH key", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n", "malformed SSH private key"},
		{"old format with passphrase", oldLocked, "ssh-keygen -p"},
		{"broken armor", armor.Header + "\n!!!\n" + armor.Footer, "malformed armor"},
		{"too large", strings.Repeat("#\n", maxIdentityFile), "larger than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ParseIdentities(strings.NewReader(c.file), "key.txt", UI{})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "identity key.txt: ") {
				t.Fatalf("error %v, want one that says %q", err, c.want)
			}
			for _, line := range strings.Fields(c.file) {
				if len(line) > 12 && strings.Contains(err.Error(), line) {
					t.Errorf("the error quotes the file: %v", err)
				}
			}
		})
	}
}

func FuzzParseIdentities(f *testing.F) {
	f.Add([]byte("AGE-SECRET-KEY-1XXXX\n"))
	f.Add([]byte("-----BEGIN OPENSSH PRIVATE KEY-----\n"))
	f.Add([]byte(armor.Header + "\n"))
	f.Add([]byte("---- BEGIN SSH2 PUBLIC KEY ----"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ids, err := ParseIdentities(bytes.NewReader(b), "fuzz", UI{})
		if (err == nil) != (len(ids) > 0) {
			t.Fatalf("%d identities and error %v", len(ids), err)
		}
	})
}
