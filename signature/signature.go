// Package signature signs records with a publisher's SSH key and checks such
// signatures, in OpenSSH's format SSHSIG (PROTOCOL.sshsig), so that
// `ssh-keygen -Y verify` can check them too.
//
// A signature counts only under the namespace it was made for and under a key
// that the caller lists by the name of its owner. This package must never take
// a key from the signature itself as proof of who signed.
package signature

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"vitrine"
)

// ErrInvalid is wrapped by every error of [Verify]: the signature proves nothing.
var ErrInvalid = errors.New("signature not valid")

// keyTypes are the keys that may sign: both deterministic in form, and neither
// open to the choice of a weak size.
var keyTypes = []string{ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519}

// Sign signs message in namespace and returns the armored signature.
func Sign(message []byte, namespace string, signer ssh.Signer) ([]byte, error) {
	if err := usableKey(signer.PublicKey()); err != nil {
		return nil, err
	}
	sig, err := sshsig.SignWithRand(bytes.NewReader(message), rand.Reader, signer, sshsig.HashSHA512, namespace)
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", ssh.FingerprintSHA256(signer.PublicKey()), err)
	}
	return sshsig.Armor(sig), nil
}

// Verify checks an armored signature of message in namespace and returns the
// principal whose key made it. keys holds the keys of each principal that may
// have signed.
func Verify(message, armored []byte, namespace string, keys map[string][]ssh.PublicKey) (principal string, err error) {
	if len(armored) > vitrine.MaxSignatureSize {
		return "", fmt.Errorf("%w: %d bytes, more than %d", ErrInvalid, len(armored), vitrine.MaxSignatureSize)
	}
	sig, err := sshsig.Unarmor(armored)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := usableKey(sig.PublicKey); err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		for _, key := range keys[name] {
			if !bytes.Equal(key.Marshal(), sig.PublicKey.Marshal()) {
				continue
			}
			if err := sshsig.Verify(bytes.NewReader(message), sig, key, sig.HashAlgorithm, namespace); err != nil {
				return "", fmt.Errorf("%w: made with the key of %s: %w", ErrInvalid, name, err)
			}
			return name, nil
		}
	}
	return "", fmt.Errorf("%w: made with %s, which is the key of none of the publishers that may sign this (%s)",
		ErrInvalid, ssh.FingerprintSHA256(sig.PublicKey), names(keys))
}

func usableKey(key ssh.PublicKey) error {
	if !slices.Contains(keyTypes, key.Type()) {
		return fmt.Errorf("key of type %s can't sign records: only ssh-ed25519 and sk-ssh-ed25519 can", key.Type())
	}
	return nil
}

func names(keys map[string][]ssh.PublicKey) string {
	if len(keys) == 0 {
		return "there are none"
	}
	var b bytes.Buffer
	for i, name := range slices.Sorted(maps.Keys(keys)) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name)
	}
	return b.String()
}

// VerifyRecord checks that the publisher that a record names signed it. keys
// are those of its service's publishers.
func VerifyRecord(record *vitrine.Record, signed vitrine.SignedRecord, keys map[string][]ssh.PublicKey) error {
	if signed.Signature == "" {
		return fmt.Errorf("%w: the record is not signed", ErrInvalid)
	}
	signer, err := Verify([]byte(signed.Record), []byte(signed.Signature), vitrine.RecordNamespace, keys)
	if err != nil {
		return err
	}
	if signer != record.Publisher {
		return fmt.Errorf("%w: the record names publisher %s, but %s signed it", ErrInvalid, record.Publisher, signer)
	}
	return nil
}
