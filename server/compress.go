package server

import (
	"net/http"

	"github.com/klauspost/compress/gzhttp"
	"github.com/labstack/echo/v4"
)

// gzipped wraps what answers with text. No answer holds a secret, so its size
// may tell how well it compresses.
var gzipped = func() func(http.Handler) http.HandlerFunc {
	wrap, err := gzhttp.NewWrapper(gzhttp.EnableZstd(false), gzhttp.ContentTypes([]string{
		"text/html", "text/css", "text/javascript", "image/svg+xml",
		"application/json", "application/problem+json", "application/feed+json", "application/atom+xml",
	}))
	if err != nil {
		panic(err) // the options are constants
	}
	return wrap
}()

// compress is for pages and documents that the server makes itself. It must be
// around neither artifacts, which are served as they are stored, nor events,
// which would wait for more to compress.
func compress(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		plain := c.Response().Writer
		defer func() { c.Response().Writer = plain }()
		gzipped(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			c.Response().Writer = w
			if err := next(c); err != nil {
				c.Error(err) // here, as nothing can be written once the compressor is closed
			}
		})).ServeHTTP(plain, c.Request())
		return nil
	}
}
