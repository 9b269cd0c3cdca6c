package zuul

import "time"

// Hurry makes a client ask for pages of n builds, and wait less between tries.
func (c *Client) Hurry(n int) *Client {
	c.page, c.pause = n, time.Millisecond
	return c
}

// ParseBuild is parseBuild, for its fuzz test.
var ParseBuild = parseBuild
