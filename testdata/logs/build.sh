#!/bin/sh
# Build the Go distribution with every command shown, the standard library once
# more with what the compiler decides, then run some of the tests.
exec >/opt/deploy/out/build.log 2>&1
export GOCACHE=/var/tmp/go-build GOTOOLCHAIN=local GOPROXY=off GOTELEMETRY=off
cd /usr/local/go/src || exit
set -x
go version
go build -a -x -v -p 2 std cmd
go build -v -p 2 -gcflags=-m std
go vet net/http encoding/json
go test -v -short bytes bufio encoding/... html/... net/netip net/url path/... \
	regexp/... slices sort strconv strings text/... time unicode/...
