# What a person or CI runs. `make` alone explains itself.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO    ?= go
TOOL  := $(GO) tool -modfile=.ci/tools.mod
CHART_TOOL := $(GO) tool -modfile=.ci/chart-tools.mod
# The race detector needs a C compiler.
RACE  := $(if $(shell command -v gcc cc clang),-race)
# Extra flags for the e2e suite, such as E2E_FLAGS='-run TestHerd'.
E2E_FLAGS ?=

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  \033[1m%-12s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## The stampede and its cure on this machine: needs Go only, takes about 4 minutes
	$(GO) run ./scenarios run herd --on local --policy none --policy fixed --policy cores --give-up 60s

.PHONY: simulate
simulate: ## All herds under all policies on a model of a node: seconds, and a page that compares them
	$(GO) run ./scenarios simulate

.PHONY: test
test: ## Everything that needs no container engine: unit, property, process and chart tests
	$(GO) vet -tags e2e,kind ./...
	$(GO) test $(RACE) -shuffle=on ./...

.PHONY: e2e
e2e: ## The suite on a real kind cluster, with fresh nodes: needs a container engine (E2E_KEEP=1 keeps the cluster)
	$(GO) run ./e2e engine
	$(GO) test -tags e2e -count=1 -timeout 45m -v $(E2E_FLAGS) ./e2e/suite/...

.PHONY: node-image
node-image: ## The image of kind's nodes: given, pulled, or built from source and cached
	$(GO) run ./e2e node-image

.PHONY: images
images: ## Build the product's images for amd64 and arm64 and show their sizes
	$(GO) run ./e2e images

.PHONY: bench
bench: ## Hand-over latency, requests per second and memory, of real processes
	$(GO) test -run '^$$' -bench . -benchtime 2s -count 1 ./components/lock

.PHONY: fuzz
fuzz: ## Every fuzz test for 20 seconds
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime 20s $$pkg; \
	  done; \
	done

.PHONY: lint
lint: ## golangci-lint with the list of .golangci.yaml
	$(TOOL) golangci-lint run ./...

.PHONY: chart-verify
chart-verify: ## The chart: lint, schema, unit suites, goldens, Pod Security, its README up to date. Needs no cluster
	$(GO) test -count=1 ./e2e/install
	$(CHART_TOOL) helm-unittest --strict chart
	$(CHART_TOOL) helm-docs --chart-search-root chart --sort-values-order file --log-level warning
	@git diff --exit-code -- chart/README.md || { echo "chart/README.md was not up to date; it is now: commit it"; exit 1; }

.PHONY: tidy
tidy: ## Tidy go.mod and the formatting
	$(GO) mod tidy
	$(TOOL) golangci-lint fmt ./...
