package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"vitrine"
	"vitrine/storage"
)

// partsAtOnce is how many parts of one artifact are sent side by side.
const partsAtOnce = 4

// PutPart stores one part of an artifact, as [storage.Writer] says. Its body must
// be an [io.ReadSeeker].
func (p *Publisher) PutPart(ctx context.Context, key string, part vitrine.Part, body io.Reader) error {
	k, err := artifactKey(key)
	if err == nil {
		err = part.Check()
	}
	if err != nil {
		return err
	}
	seeker, ok := body.(io.ReadSeeker)
	if !ok {
		return fmt.Errorf("part %d of %s: the body can't be sent again after a failure", part.Number, key)
	}
	if up := p.build(k.UUID); up != nil && up.direct {
		err = p.sendPart(ctx, k, vitrine.PartsRequest{Parts: []vitrine.Part{part}}, seeker)
	} else {
		sha, _ := hex.DecodeString(part.SHA256)
		sum, _ := hex.DecodeString(part.MD5)
		header := http.Header{
			"Content-Type":   {"application/octet-stream"},
			"Content-Digest": {contentDigest(sha256Digest, sha) + ", " + contentDigest(md5Digest, sum)},
		}
		address := p.client.artifactURL(k, "parts", strconv.Itoa(part.Number))
		err = p.put(ctx, k.UUID, request{http.MethodPut, address, header, seeker, part.Size, nil})
	}
	if err != nil {
		return fmt.Errorf("upload part %d of %s: %w", part.Number, k.Path, err)
	}
	return nil
}

// Complete makes an artifact of its parts, as [storage.Writer] says. The SHA-256
// of opts must be known.
func (p *Publisher) Complete(ctx context.Context, key string, parts []vitrine.Part, opts storage.CreateOptions) error {
	k, err := artifactKey(key)
	if err != nil {
		return err
	}
	text, err := json.Marshal(vitrine.PartsRequest{Size: opts.Size, SHA256: hex.EncodeToString(opts.SHA256[:]), Parts: parts})
	if err != nil {
		return err
	}
	r := request{http.MethodPut, p.client.artifactURL(k, "artifacts"), http.Header{"Content-Type": {vitrine.PartsMediaType}}, bytes.NewReader(text), int64(len(text)), nil}
	if err := p.put(ctx, k.UUID, r); err != nil {
		return fmt.Errorf("complete %s: %w", k.Path, err)
	}
	return nil
}

func artifactKey(key string) (vitrine.Key, error) {
	k, err := vitrine.ParseKey(key)
	if err == nil && k.Kind != vitrine.ArtifactKind {
		err = fmt.Errorf("%s: a record does not come in parts", key)
	}
	return k, err
}

// errStored says that the server has the artifact already.
var errStored = errors.New("stored already")

// sendParts sends an artifact to the store, and has the server complete it. Where
// the build was begun again meanwhile, the server may have given up the parts that
// it had: then all are sent once more.
func (p *Publisher) sendParts(ctx context.Context, k vitrine.Key, body io.ReadSeeker, opts storage.CreateOptions) error {
	begun := p.build(k.UUID)
	err := p.sendPartsOnce(ctx, k, body, opts)
	var status *StatusError
	if errors.As(err, &status) && status.Problem.Status == http.StatusUnprocessableEntity && p.build(k.UUID) != begun {
		err = p.sendPartsOnce(ctx, k, body, opts)
	}
	return err
}

// sendPartsOnce sends several parts at once. It reads the body twice, once to hash it: the hash of each
// part is part of its request.
func (p *Publisher) sendPartsOnce(ctx context.Context, k vitrine.Key, body io.ReadSeeker, opts storage.CreateOptions) error {
	all := vitrine.PartsRequest{Size: opts.Size, SHA256: hex.EncodeToString(opts.SHA256[:])}
	source, sent := newSource(body)
	whole := sha256.New()
	group, ctxParts := errgroup.WithContext(ctx)
	group.SetLimit(partsAtOnce)
	size := vitrine.PartSize(opts.Size)
	for off := int64(0); off < opts.Size && ctxParts.Err() == nil; off += size {
		section := io.NewSectionReader(source, off, min(size, opts.Size-off))
		part, err := vitrine.ReadPart(len(all.Parts)+1, io.TeeReader(section, whole))
		if err == nil && part.Size != section.Size() {
			err = fmt.Errorf("%w: the body ends in part %d", storage.ErrIntegrity, part.Number)
		}
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		all.Parts = append(all.Parts, part)
		one := vitrine.PartsRequest{Size: all.Size, SHA256: all.SHA256, Parts: []vitrine.Part{part}}
		group.Go(func() error {
			if err := p.sendPart(ctxParts, k, one, section); err != nil {
				return fmt.Errorf("part %d: %w", part.Number, err)
			}
			return sent(part.Size)
		})
	}
	if err := group.Wait(); errors.Is(err, errStored) {
		return nil
	} else if err != nil {
		return err
	}
	if [32]byte(whole.Sum(nil)) != opts.SHA256 {
		return fmt.Errorf("%w: what was to be sent has changed", storage.ErrIntegrity)
	}
	return p.Complete(ctx, vitrine.ArtifactKey(k.UUID, k.Path), all.Parts, opts)
}

// newSource makes a body readable at several places at once. Its position then
// tells how much of it is stored, which sent moves on: that is how whoever gave
// the body sees how far it is.
func newSource(body io.ReadSeeker) (source io.ReaderAt, sent func(n int64) error) {
	var mu sync.Mutex
	if at, ok := body.(io.ReaderAt); ok {
		total := int64(0)
		return at, func(n int64) error {
			mu.Lock()
			defer mu.Unlock()
			total += n
			_, err := body.Seek(total, io.SeekStart)
			return err
		}
	}
	return &seekingReaderAt{body: body}, func(int64) error { return nil }
}

// A seekingReaderAt reads at random what can only be sought.
type seekingReaderAt struct {
	mu   sync.Mutex
	body io.ReadSeeker
}

func (s *seekingReaderAt) ReadAt(b []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.body.Seek(off, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(s.body, b)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}

// sendPart sends the one part that what names to the store. Each try has a signed
// request of its own: the last may have ended, or its credentials.
func (p *Publisher) sendPart(ctx context.Context, k vitrine.Key, what vitrine.PartsRequest, body io.ReadSeeker) error {
	return p.withToken(ctx, k.UUID, func(token string) error {
		return p.client.retry(ctx, "part", func() error {
			signed, err := p.sign(ctx, token, k, what)
			if err != nil {
				return err
			}
			return p.client.toStore(ctx, signed, what.Parts[0], body)
		})
	})
}

// sign asks the server for the request that sends one part.
func (p *Publisher) sign(ctx context.Context, token string, k vitrine.Key, what vitrine.PartsRequest) (vitrine.PartRequest, error) {
	var grant vitrine.PartsGrant
	text, err := json.Marshal(what)
	if err != nil {
		return vitrine.PartRequest{}, err
	}
	header := http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + token}}
	resp, err := p.client.once(ctx, request{http.MethodPost, p.client.artifactURL(k, "parts"), header, bytes.NewReader(text), int64(len(text)), nil})
	if err == nil {
		_, err = readReply(resp, &grant) // it is secret, so it is never printed
	}
	switch {
	case err != nil:
		return vitrine.PartRequest{}, err
	case len(grant.Requests) == 0:
		return vitrine.PartRequest{}, &permanentError{errStored}
	case len(grant.Requests) > 1 || grant.Requests[0].Number != what.Parts[0].Number:
		return vitrine.PartRequest{}, &permanentError{errors.New("the server's answer is not the request for the part that was asked for")}
	}
	return grant.Requests[0], nil
}
