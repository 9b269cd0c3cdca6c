# What people type. CI calls the same targets.

.PHONY: build demo test test-stock test-stores test-browser test-slow soak fuzz bench bench-tail bench-grep bench-history lint lint-api

build:                       ## the command, without cgo
	CGO_ENABLED=0 go build -trimpath -o vitrine ./cmd/vitrine

demo: build                  ## a whole example on this machine
	./vitrine demo

test:                        ## the tests; with RACE=-race as CI runs them
	go vet ./...
	go test $(RACE) ./...

lint-api:                    ## the API's document, by a linter from npm
	REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true npx --yes @redocly/cli@2.77.0 lint \
		--extends recommended-strict --skip-rule no-ambiguous-paths server/openapi.json

STOCK = $(wildcard */*stock_test.go)
test-stock: build            ## against stock age, zstd, gpg and ssh-keygen, which must be installed
	go test -tags stock -count=1 -run "^($$(sed -n 's/^func \(Test[A-Za-z0-9_]*\)(.*/\1/p' $(STOCK) | paste -sd'|'))\$$" $(sort $(dir $(addprefix ./,$(STOCK))))
	./.ci/demo ./vitrine

test-stores:                 ## against a real Swift and a real S3 server; test/stores/run says what it needs
	./test/stores/run ./test/stores/go-test $(RACE)

test-slow:                   ## 12 GB to each kind of store, in less than 100 MiB of memory
	go test -tags slow -count=1 -timeout 30m -run '^TestS3Memory$$' -v ./storage
	go test -tags slow -count=1 -timeout 30m -run '^TestSwiftMemory$$' -v ./storage

test-browser:                ## the pages in a real Chromium: pictures in test/browser/screenshots
	cd test/browser && npm ci --no-audit --no-fund --ignore-scripts && go test -tags browser -count=1 -timeout 20m .

soak:                        ## eight runners publish SOAK builds at once, to each store
	SOAK=$(or $(SOAK),2000) ./test/stores/run go test -tags stores -count=1 -timeout 1h -v -run '^TestSoak$$' ./cmd/vitrine

fuzz:                        ## each fuzz target for FUZZTIME
	./.ci/fuzz $(or $(FUZZTIME),10s)

bench: build                 ## against stock tools, as ratios: seal and open, and publish to S3 and Swift
	./bench/seal.sh ./vitrine $(LOG)
	./test/stores/run ./bench/stores.sh ./vitrine $(LOG)
	$(MAKE) bench-tail
	$(MAKE) bench-grep
	$(MAKE) bench-history

bench-tail: build            ## the last lines of a log of 10 GiB, or SIZE bytes, against downloading it
	./test/stores/run ./bench/tail.sh ./vitrine $(LOG)

bench-grep: build            ## a search of N logs of SIZE bytes against age, zstd and grep in a loop
	./bench/grep.sh ./vitrine $(LOG)

bench-history:               ## every page and API answer over BUILDS builds; KEEP=DIR leaves their data for vitrine serve
	go test -v -count=1 -timeout 2h -run '^TestHistory$$' ./server -args -builds=$(or $(BUILDS),1000000) -ask=100 -keep=$(KEEP)
