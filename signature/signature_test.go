package signature_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"vitrine"
	"vitrine/signature"
)

func newKey(t *testing.T) (ed25519.PrivateKey, ssh.Signer) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return private, signer
}

func TestSignVerify(t *testing.T) {
	_, bridge := newKey(t)
	_, other := newKey(t)
	message := []byte("the record\n")
	sig, err := signature.Sign(message, vitrine.RecordNamespace, bridge)
	if err != nil {
		t.Fatal(err)
	}
	otherSig, err := signature.Sign(message, vitrine.RecordNamespace, other)
	if err != nil {
		t.Fatal(err)
	}
	noNamespace := bytes.Replace(sig, []byte("U1NIU0lH"), []byte("U1NIU0lG"), 1)
	keys := map[string][]ssh.PublicKey{
		"alice":  nil,
		"bridge": {bridge.PublicKey()},
	}
	for _, test := range []struct {
		name      string
		message   string
		sig       []byte
		namespace string
		keys      map[string][]ssh.PublicKey
		want      string // principal, or "error: " and a part of the message
	}{
		{"good", "the record\n", sig, vitrine.RecordNamespace, keys, "bridge"},
		{"altered message", "the Record\n", sig, vitrine.RecordNamespace, keys, "error: key of bridge"},
		{"another namespace", "the record\n", sig, vitrine.UploadNamespace, keys, "error: namespace does not match"},
		{"empty namespace", "the record\n", sig, "", keys, "error: namespace does not match"},
		{"a key of nobody", "the record\n", otherSig, vitrine.RecordNamespace, keys, "error: key of none of the publishers"},
		{"no publishers", "the record\n", sig, vitrine.RecordNamespace, nil, "error: there are none"},
		{"no signature", "the record\n", nil, vitrine.RecordNamespace, keys, "error: "},
		{"broken armor", "the record\n", sig[:len(sig)-40], vitrine.RecordNamespace, keys, "error: "},
		{"broken magic", "the record\n", noNamespace, vitrine.RecordNamespace, keys, "error: "},
		{"too large", "the record\n", bytes.Repeat([]byte("A"), vitrine.MaxSignatureSize+1), vitrine.RecordNamespace, keys, "error: more than"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := signature.Verify([]byte(test.message), test.sig, test.namespace, test.keys)
			if want, fails := strings.CutPrefix(test.want, "error: "); fails {
				if !errors.Is(err, signature.ErrInvalid) || !strings.Contains(err.Error(), want) || got != "" {
					t.Fatalf("got %q, error %v; want ErrInvalid with %q", got, err, want)
				}
				return
			}
			if err != nil || got != test.want {
				t.Fatalf("got %q, error %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestOnlyEd25519Signs(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signature.Sign([]byte("x"), vitrine.RecordNamespace, signer); err == nil || !strings.Contains(err.Error(), "only ssh-ed25519") {
		t.Fatalf("got error %v, want a refusal of the key's type", err)
	}
}

func writeKey(t *testing.T, private ed25519.PrivateKey, passphrase string) string {
	t.Helper()
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "test")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "test", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadSigner(t *testing.T) {
	private, signer := newKey(t)
	never := func() ([]byte, error) { return nil, errors.New("asked for a passphrase") }
	plain := writeKey(t, private, "")
	protected := writeKey(t, private, "secret words")
	public := filepath.Join(t.TempDir(), "id.pub")
	if err := os.WriteFile(public, ssh.MarshalAuthorizedKey(signer.PublicKey()), 0o644); err != nil {
		t.Fatal(err)
	}

	check := func(t *testing.T, path string, passphrase func() ([]byte, error)) {
		t.Helper()
		s, done, err := signature.LoadSigner(path, passphrase)
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		sig, err := signature.Sign([]byte("m"), vitrine.RecordNamespace, s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signature.Verify([]byte("m"), sig, vitrine.RecordNamespace, map[string][]ssh.PublicKey{"p": {signer.PublicKey()}}); err != nil {
			t.Fatal(err)
		}
	}
	refuse := func(t *testing.T, path string, passphrase func() ([]byte, error), want string) {
		t.Helper()
		if _, _, err := signature.LoadSigner(path, passphrase); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("got error %v, want one with %q", err, want)
		}
	}

	t.Setenv("SSH_AUTH_SOCK", "")
	t.Run("plain", func(t *testing.T) { check(t, plain, never) })
	t.Run("passphrase", func(t *testing.T) {
		check(t, protected, func() ([]byte, error) { return []byte("secret words"), nil })
	})
	t.Run("wrong passphrase", func(t *testing.T) {
		refuse(t, protected, func() ([]byte, error) { return []byte("no"), nil }, "not its passphrase")
	})
	t.Run("public key without an agent", func(t *testing.T) { refuse(t, public, never, "no ssh-agent") })
	t.Run("missing", func(t *testing.T) { refuse(t, public+"x", never, "no such file") })
	t.Run("not a key", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
			t.Fatal(err)
		}
		refuse(t, path, never, "not an SSH private key")
	})
	t.Run("too large", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "x")
		if err := os.WriteFile(path, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		refuse(t, path, never, "not a key")
	})

	ended := serveAgent(t, private)
	t.Run("public key in the agent", func(t *testing.T) { check(t, public, never) })
	t.Run("protected key in the agent", func(t *testing.T) { check(t, protected, never) })
	t.Run("not in the agent", func(t *testing.T) {
		_, stranger := newKey(t)
		path := filepath.Join(t.TempDir(), "id.pub")
		if err := os.WriteFile(path, ssh.MarshalAuthorizedKey(stranger.PublicKey()), 0o644); err != nil {
			t.Fatal(err)
		}
		refuse(t, path, never, "ssh-add")
	})
	for range 3 { // each of the three above gave its connection back
		waitFor(t, ended)
	}
}

// A key in the agent that may not sign is refused, and the agent let go.
func TestAgentKeyRefused(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "id.pub")
	if err := os.WriteFile(path, ssh.MarshalAuthorizedKey(signer.PublicKey()), 0o644); err != nil {
		t.Fatal(err)
	}
	ended := serveAgent(t, private)
	if s, done, err := signature.LoadSigner(path, nil); err == nil || !strings.Contains(err.Error(), "only ssh-ed25519") || s != nil || done != nil {
		t.Fatalf("got error %v, want a refusal of the key's type and nothing else", err)
	}
	waitFor(t, ended)
}

func waitFor(t *testing.T, ended <-chan struct{}) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Fatal("a connection to the agent is still open")
	}
}

// serveAgent runs an ssh-agent that holds the key, and points SSH_AUTH_SOCK at
// it. The channel tells each end of a connection.
func serveAgent(t *testing.T, private any) <-chan struct{} {
	t.Helper()
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{}, 16)
	dir, err := os.MkdirTemp("", "agent") // t.TempDir is too long for a socket's name on some systems
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				agent.ServeAgent(ring, conn)
				ended <- struct{}{}
			}()
		}
	}()
	t.Setenv("SSH_AUTH_SOCK", l.Addr().String())
	return ended
}

func FuzzVerify(f *testing.F) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		f.Fatal(err)
	}
	good, err := signature.Sign([]byte("m"), vitrine.RecordNamespace, signer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n"))
	keys := map[string][]ssh.PublicKey{"p": {signer.PublicKey()}}
	f.Fuzz(func(t *testing.T, sig []byte) {
		// Nothing a fuzzer makes is a signature of this other message.
		if _, err := signature.Verify([]byte("other"), sig, vitrine.RecordNamespace, keys); !errors.Is(err, signature.ErrInvalid) {
			t.Fatalf("got %v, want ErrInvalid", err)
		}
	})
}
