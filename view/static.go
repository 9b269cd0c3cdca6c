package view

import "embed"

// files are the page, page.html, and what it loads.
//
//go:embed static
var files embed.FS
