package publish

import (
	"bytes"
	"path"
	"strings"
	"unicode/utf8"
)

// mediaTypes by extension. The table is fixed: that of the machine would make
// records differ from runner to runner.
var mediaTypes = map[string]string{
	".css":  "text/css",
	".csv":  "text/csv",
	".gif":  "image/gif",
	".gz":   "application/gzip",
	".htm":  "text/html",
	".html": "text/html",
	".ini":  "text/plain",
	".jpeg": "image/jpeg",
	".jpg":  "image/jpeg",
	".js":   "text/javascript",
	".json": "application/json",
	".log":  "text/plain",
	".md":   "text/markdown",
	".mp4":  "video/mp4",
	".pdf":  "application/pdf",
	".png":  "image/png",
	".svg":  "image/svg+xml",
	".tar":  "application/x-tar",
	".txt":  "text/plain",
	".webm": "video/webm",
	".webp": "image/webp",
	".xml":  "application/xml",
	".xz":   "application/x-xz",
	".yaml": "text/plain",
	".yml":  "text/plain",
	".zip":  "application/zip",
	".zst":  "application/zstd",
}

// mediaType tells the media type of a file from its name and its first bytes.
func mediaType(name string, head []byte) string {
	if t, ok := mediaTypes[strings.ToLower(path.Ext(name))]; ok {
		return t
	}
	for range utf8.UTFMax - 1 { // the end of head may have cut a rune
		if r, size := utf8.DecodeLastRune(head); r != utf8.RuneError || size != 1 {
			break
		}
		head = head[:len(head)-1]
	}
	if utf8.Valid(head) && !bytes.Contains(head, []byte{0}) {
		return "text/plain"
	}
	return "application/octet-stream"
}
