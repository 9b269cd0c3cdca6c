package server

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// tokenLife is how long an upload token is good for.
const tokenLife = time.Hour

// tokens makes and checks upload tokens: the build's uuid and an end time under
// an HMAC. The secret lives as long as the process; after a restart publishers
// ask for a new token.
type tokens struct{ secret [32]byte }

func (t *tokens) make(uuid string, now time.Time) (token string, expires time.Time) {
	expires = now.Add(tokenLife).UTC().Truncate(time.Second)
	id, _ := hex.DecodeString(uuid)
	body := binary.BigEndian.AppendUint64(id, uint64(expires.Unix()))
	return base64.RawURLEncoding.EncodeToString(append(body, t.mac(body)...)), expires
}

// check reports why a request's token does not let it write to the build.
func (t *tokens) check(r *http.Request, uuid string, now time.Time) error {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || len(token) > 128 {
		return refuse(http.StatusUnauthorized, "an upload token is needed: begin the build first")
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != 16+8+sha256.Size || !hmac.Equal(b[24:], t.mac(b[:24])) {
		return refuse(http.StatusUnauthorized, "the upload token is not one of this server's, which may have been started anew: begin the build again")
	}
	if now.Unix() >= int64(binary.BigEndian.Uint64(b[16:24])) {
		return refuse(http.StatusUnauthorized, "the upload token has expired: begin the build again")
	}
	if hex.EncodeToString(b[:16]) != uuid {
		return refuse(http.StatusForbidden, "the upload token is for another build")
	}
	return nil
}

func (t *tokens) mac(body []byte) []byte {
	m := hmac.New(sha256.New, t.secret[:])
	m.Write(body)
	return m.Sum(nil)
}
