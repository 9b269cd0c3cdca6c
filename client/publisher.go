package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"vitrine"
	"vitrine/signature"
	"vitrine/storage"
)

// A Publisher writes builds through a server. It is a [storage.Writer] for the
// objects of a build in the order that publishing writes them: a signature
// before its record, started.json before artifacts, build.json last.
type Publisher struct {
	client *Client
	signer ssh.Signer

	mu         sync.Mutex
	signatures map[string][]byte  // by key, until the record comes
	builds     map[string]*upload // by uuid
}

// An upload is a build that the server has let begin. It never changes: a build
// that begins again is another one.
type upload struct {
	request vitrine.SignedRecord
	token   string
	expires time.Time
	direct  bool // the store takes the parts, not the server
}

// Publisher returns a writer that is let in by signer's key.
func (c *Client) Publisher(signer ssh.Signer) *Publisher {
	return &Publisher{client: c, signer: signer, signatures: make(map[string][]byte), builds: make(map[string]*upload)}
}

// Create sends one object of a build, as [storage.Writer] says.
func (p *Publisher) Create(ctx context.Context, key string, body io.Reader, opts storage.CreateOptions) error {
	k, err := vitrine.ParseKey(key)
	if err != nil {
		return err
	}
	if k.Kind == vitrine.ArtifactKind {
		return p.putArtifact(ctx, key, k, body, opts)
	}
	text, err := io.ReadAll(io.LimitReader(body, vitrine.MaxRecordSize+1))
	if err != nil {
		return err
	}
	if int64(len(text)) != opts.Size || sha256.Sum256(text) != opts.SHA256 {
		return fmt.Errorf("create %s: %w", key, storage.ErrIntegrity)
	}
	p.mu.Lock()
	signed := vitrine.SignedRecord{Record: string(text), Signature: string(p.signatures[vitrine.SignatureKey(key)])}
	switch k.Kind {
	case vitrine.StartedKind:
		defer p.mu.Unlock()
		return p.begin(ctx, k.UUID, signed)
	case vitrine.RecordKind:
		p.mu.Unlock()
		return p.commit(ctx, k.UUID, signed)
	default:
		defer p.mu.Unlock()
		p.signatures[key] = text
		return nil
	}
}

// begin asks for the upload token of a build. p.mu is held.
func (p *Publisher) begin(ctx context.Context, uuid string, signed vitrine.SignedRecord) error {
	record, err := vitrine.ParseRecord([]byte(signed.Record))
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte(signed.Record))
	now := time.Now().UTC().Truncate(time.Second)
	proof, err := signature.Sign(vitrine.UploadProof(record.Tenant, uuid, hex.EncodeToString(digest[:]), now), vitrine.UploadNamespace, p.signer)
	if err != nil {
		return err
	}
	var grant vitrine.UploadGrant
	message := vitrine.UploadRequest{SignedRecord: signed, Time: now, Proof: string(proof)}
	if err := p.send(ctx, http.MethodPost, p.client.url("builds"), "", message, &grant); err != nil {
		return fmt.Errorf("begin build %s: %w", uuid, err)
	}
	p.builds[uuid] = &upload{request: signed, token: grant.Token, expires: grant.Expires, direct: grant.Direct}
	return nil
}

func (p *Publisher) commit(ctx context.Context, uuid string, signed vitrine.SignedRecord) error {
	err := p.withToken(ctx, uuid, func(token string) error {
		return p.send(ctx, http.MethodPut, p.client.url("builds", uuid), token, signed, new(vitrine.Published))
	})
	if err != nil {
		return fmt.Errorf("commit build %s: %w", uuid, err)
	}
	return nil
}

func (p *Publisher) putArtifact(ctx context.Context, key string, k vitrine.Key, body io.Reader, opts storage.CreateOptions) error {
	seeker, ok := body.(io.ReadSeeker)
	if !ok {
		return fmt.Errorf("create %s: the body can't be sent again after a failure", key)
	}
	var err error
	if up := p.build(k.UUID); opts.Size > 0 && up != nil && up.direct { // nothing has no parts
		err = p.sendParts(ctx, k, seeker, opts)
	} else {
		header := http.Header{
			"Content-Type":   {"application/octet-stream"},
			"Content-Digest": {contentDigest(sha256Digest, opts.SHA256[:])},
		}
		address := p.client.artifactURL(k, "artifacts")
		err = p.put(ctx, k.UUID, request{http.MethodPut, address, header, seeker, opts.Size, nil})
	}
	if err != nil {
		return fmt.Errorf("upload %s: %w", k.Path, err)
	}
	return nil
}

// build returns a build as it was last let begin; nil if it was not.
func (p *Publisher) build(uuid string) *upload {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.builds[uuid]
}

// put sends a request with a token of the build, and reads nothing of its answer.
func (p *Publisher) put(ctx context.Context, uuid string, r request) error {
	return p.withToken(ctx, uuid, func(token string) error {
		r.header.Set("Authorization", "Bearer "+token)
		resp, err := p.client.do(ctx, r)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
}

// The algorithms of a Content-Digest header (RFC 9530).
const (
	sha256Digest = "sha-256"
	md5Digest    = "md5"
)

func contentDigest(algorithm string, digest []byte) string {
	return algorithm + "=:" + base64.StdEncoding.EncodeToString(digest) + ":"
}

// withToken calls send with a token of the build, and once more with a new one
// if the server does not know it: a server that was started anew doesn't.
func (p *Publisher) withToken(ctx context.Context, uuid string, send func(token string) error) error {
	for again := false; ; again = true {
		token, err := p.token(ctx, uuid, again)
		if err != nil {
			return err
		}
		err = send(token)
		var status *StatusError
		if again || !errors.As(err, &status) || status.Problem.Status != http.StatusUnauthorized {
			return err
		}
	}
}

// token returns a token of a build that is good for a while.
func (p *Publisher) token(ctx context.Context, uuid string, renew bool) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	up := p.builds[uuid]
	if up == nil {
		return "", fmt.Errorf("build %s has not begun", uuid)
	}
	if renew || time.Until(up.expires) < time.Minute {
		if err := p.begin(ctx, uuid, up.request); err != nil {
			return "", err
		}
	}
	return p.builds[uuid].token, nil
}

// send sends a JSON request and reads a JSON reply.
func (p *Publisher) send(ctx context.Context, method, address, token string, message, reply any) error {
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	header := http.Header{"Content-Type": {"application/json"}}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	resp, err := p.client.do(ctx, request{method, address, header, bytes.NewReader(text), int64(len(text)), nil})
	if err != nil {
		return err
	}
	return decodeReply(resp, reply)
}
