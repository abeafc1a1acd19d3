# Preezm: `make` lists what there is. Everything here works from a fresh clone
# on Debian 12 with git, make and Go; what else is needed, `deps` installs.

# The window is the only part that needs X11 and OpenGL. The build tag
# `headless` leaves it out, and nearly every target below uses it: building
# the window from cold takes minutes, the rest seconds.
HEADLESS := -tags headless
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# VCS stamping fails in a clone that belongs to another user (containers, CI),
# so it is off everywhere and the version is handed over by name.
export GOFLAGS += -buildvcs=false
BUILD    := go build -ldflags "-X main.version=$(VERSION)"
BIN      := bin/preezm
BIN_HL   := bin/preezm-headless

FUZZTIME ?= 2s

# Runs tests and sums up what failed. The packages named here start real
# processes; one or two of their tests that fail are run again, alone.
TESTRUN := go run ./app/testrun -again app/bench,app/cli,app/demo,app/desktop/e2e,app/internal/chaos,app/internal/e2e,app/internal/grants,app/internal/netlab,app/internal/recovery

.DEFAULT_GOAL := help
.PHONY: servers nettest help deps deps-headless build build-headless run demo test screenshots bench chaos simulate lint fmt clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install the system packages that the window needs, and a C compiler
	@.ci/deps window

deps-headless: ## install the system packages that everything but the window needs
	@.ci/deps headless

build: deps ## build bin/preezm with the window
	$(BUILD) -o $(BIN) ./app/preezm

build-headless: deps-headless ## build bin/preezm-headless, for servers: no X11, no OpenGL
	$(BUILD) $(HEADLESS) -o $(BIN_HL) ./app/preezm

servers: deps-headless ## build bin/strelaysrv and bin/stdiscosrv, Syncthing's own, for 'preezm serve --relay --discovery'
	@mkdir -p bin
	cd packaging/servers && go build -o ../../bin/ github.com/syncthing/syncthing/cmd/strelaysrv github.com/syncthing/syncthing/cmd/stdiscosrv

run: build ## build and open the window
	$(BIN)

# FILE=path keeps your own file or folder instead of the sample data. It goes
# through the environment, since a path may hold anything.
export FILE
demo: build-headless ## five keepers, an owner, a brand; lose two; get all back; lend two files (FILE=path for your own)
	@mkdir -p build
	@go build -o build/demo ./app/demo
	@build/demo -preezm $(BIN_HL) $${FILE:+-file "$$FILE"}

test: deps ## every test: unit, property, end to end, command line, window, a short fuzz of every decoder
	@[ "$$(id -u)" != 0 ] || .ci/deps net
	@# The window is not raced: that would rebuild its C parts for minutes.
	$(TESTRUN) -log build/tests.json -- -race $(HEADLESS) -timeout 45m $$(.ci/packages)
	$(TESTRUN) -log build/tests-window.json -- -timeout 10m ./app/desktop/...
	go build -o /dev/null ./app/preezm
	@FUZZTIME=$(FUZZTIME) .ci/fuzz

screenshots: deps ## a picture of every screen, in both themes and languages, into docs/screenshots
	@mkdir -p docs/screenshots
	PREEZM_SCREENSHOTS=$(CURDIR)/docs/screenshots go test -count=1 -timeout 10m -run TestScreenshots ./app/desktop
	@ls docs/screenshots | wc -l | xargs echo "pictures in docs/screenshots:"

# NETTEST=all has 100 MB put over 1 Mbit/s as well, which takes a quarter of an hour.
NETTEST ?= 1
nettest: deps-headless ## machines behind routers, over bad lines and cuts, in network namespaces (root); some minutes
	@.ci/deps net
	PREEZM_NETTEST=$(NETTEST) go test $(HEADLESS) -count=1 -timeout 60m -v ./app/internal/netlab

# ARGS="--quick" for a small run, ARGS="--reps 5" for a careful one, ARGS="--repair"
# for what a repair moves and what puts and gets feel of it.
bench: build-headless ## measure against the straight-line ceiling; table here, JSON in build/bench.json
	@mkdir -p build
	@go build -o build/ceiling ./app/bench/ceiling
	@go build -o build/benchrun ./app/bench
	@build/benchrun -preezm $(BIN_HL) -ceiling build/ceiling -json build/bench.json -svg build/bench.svg $(ARGS)

# SEED=n replays the choices of a run that failed; CHAOS=n makes it n times as long.
SEED  ?= 0
CHAOS ?= 8
chaos: deps-headless ## kill, stop, starve and deceive real circles for half an hour or so, and check what is left
	PREEZM_CHAOS=$(CHAOS) go test $(HEADLESS) -count 1 -v -timeout 3h ./app/internal/chaos -seed $(SEED)

# ARGS="-circles 1000 -harsh 3 -seed 7", see -help.
simulate: ## live 200 circles of 3 to 14 machines through ten years, with the code that decides on repair
	@go run $(HEADLESS) ./app/simulate $(ARGS)

lint: deps-headless ## gofmt, vet, staticcheck, known vulnerabilities, house rules, type-check for Windows and macOS
	@.ci/lint

fmt: ## format every Go file
	gofmt -l -w $$(git ls-files '*.go')

clean: ## remove what was built here
	rm -rf bin build
