package signature

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// maxKeyFile bounds a key file, in bytes.
const maxKeyFile = 64 << 10

// LoadSigner returns the signer for the key file at path: a private key, with
// or without a passphrase, or a public key whose private half lies in ssh-agent.
// A protected key is looked for in the agent first; passphrase is called only
// if it is not there. Close frees the connection to the agent, if there is one.
func LoadSigner(path string, passphrase func() ([]byte, error)) (signer ssh.Signer, close func() error, err error) {
	defer func() {
		if err == nil {
			if err = usableKey(signer.PublicKey()); err != nil {
				close()
			}
		}
		if err != nil {
			signer, close = nil, nil
			err = fmt.Errorf("key %s: %w", path, err)
		}
	}()
	noClose := func() error { return nil }
	text, err := readKeyFile(path)
	if err != nil {
		return nil, nil, err
	}
	if public, _, _, _, err := ssh.ParseAuthorizedKey(text); err == nil {
		return agentSigner(public)
	}
	signer, err = ssh.ParsePrivateKey(text)
	if err == nil {
		return signer, noClose, nil
	}
	var missing *ssh.PassphraseMissingError
	if !errors.As(err, &missing) {
		return signerOfHardwareKey(path, err)
	}
	if missing.PublicKey != nil {
		if signer, close, err := agentSigner(missing.PublicKey); err == nil {
			return signer, close, nil
		}
	}
	secret, err := passphrase()
	if err != nil {
		return nil, nil, err
	}
	signer, err = ssh.ParsePrivateKeyWithPassphrase(text, secret)
	if errors.Is(err, x509.IncorrectPasswordError) {
		err = errors.New("that is not its passphrase")
	}
	return signer, noClose, err
}

// signerOfHardwareKey serves a private key file that only ssh-agent can use, as
// that of an sk-ssh-ed25519 key: its public half lies beside it.
func signerOfHardwareKey(path string, parseErr error) (ssh.Signer, func() error, error) {
	text, err := readKeyFile(path + ".pub")
	if err != nil {
		return nil, nil, fmt.Errorf("not an SSH private key: %w", parseErr)
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil, nil, fmt.Errorf("not an SSH private key: %w", parseErr)
	}
	return agentSigner(public)
}

func agentSigner(public ssh.PublicKey) (ssh.Signer, func() error, error) {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil, nil, errors.New("its private half is not in a file, and there is no ssh-agent (SSH_AUTH_SOCK is not set)")
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, nil, fmt.Errorf("ssh-agent: %w", err)
	}
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("ssh-agent: %w", err)
	}
	for _, s := range signers {
		if bytes.Equal(s.PublicKey().Marshal(), public.Marshal()) {
			return s, conn.Close, nil
		}
	}
	conn.Close()
	return nil, nil, fmt.Errorf("ssh-agent does not hold %s: add it with ssh-add", ssh.FingerprintSHA256(public))
}

func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("more than %d bytes: not a key", maxKeyFile)
	}
	return text, nil
}
