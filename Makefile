# What can be done here: `make help`. On a machine that lacks something: `./dev TARGET` installs it first.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules --no-print-directory
.DEFAULT_GOAL := help

# An ordinary user's PATH often lacks the sbin folders, in which ip and mariadbd live.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

modules := proto dispatcher executor testbed lab lab/kube
programs := multinic-dispatcher multinic-executor
scripts := dev .ci/run tools/install tools/images deploy/simple-deploy.sh deploy/nerdctl-deploy.sh deploy/setup-buildkit.sh lab/deploy/testdata/stand-in

# What --version prints. An archive without git's data has none.
version := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# KEEP=1 makes the demo leave its fleet running, to be looked at.
KEEP ?=
# ALL=1 makes test-vm run on each release with both activations, which takes twice as long.
ALL ?=
# Further arguments for go test, such as TESTFLAGS='-run TestName -v'; and which packages.
TESTFLAGS ?=
PACKAGES ?= work

# How images are built, and what they are called: see tools/images.
BUILDER ?=
REGISTRY ?=
IMAGE_TAG ?=
ARCHES ?=
GO_IMAGE ?=
SBOM_DIR ?=

# The environment of a module's static checks: lab/kube, which is not in the workspace, is compiled as test-kube compiles it.
as_built = if [ $(1) = lab/kube ]; then export GOWORK=off CGO_ENABLED=0 GOFLAGS="$${GOFLAGS:-} -trimpath"; fi

# Each tool is built on first use; see tools/versions. The assignment stands alone, or its failure would go unnoticed.
tools = tools=$$(tools/install $(1))

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: $(programs) ## build both programs into bin/; needs nothing but Go

# Each from its own module alone, as an image build does it, so that the workspace cannot hide a missing requirement.
.PHONY: $(programs)
$(programs): multinic-%:
	cd $* && CGO_ENABLED=0 GOWORK=off go build -trimpath -buildvcs=false -ldflags '-X main.version=$(version)' -o ../bin/$@ .

.PHONY: grpcurl
grpcurl: ## put the pinned grpcurl into bin/
	@mkdir -p bin
	@$(call tools,grpcurl); ln -sfn "$$tools/grpcurl" bin/grpcurl

.PHONY: demo
demo: build $(if $(KEEP),grpcurl) ## a database, a dispatcher and three nodes on this machine; KEEP=1 leaves them running
	cd lab && go build -buildvcs=false -o ../bin/multinic-demo ./demo
	KEEP=$(KEEP) bin/multinic-demo

# What the tests build, they build where there is no network; some of it as a release has it, from its module alone.
.PHONY: modules
modules:
	@go list -deps work >/dev/null
	@cd executor && GOWORK=off go list -deps . >/dev/null

# One run over the whole workspace, so that there is one summary at the end. -count=1: the lab builds and runs the programs,
# and Go's cache of results does not see when those have changed.
.PHONY: test
test: modules ## run every test with the race detector
	@$(call tools,buf gotestsum grpcurl); set -x; \
	BUF="$$tools/buf" GRPCURL="$$tools/grpcurl" "$$tools/gotestsum" --format pkgname-and-test-fails -- -race -count=1 -timeout 20m $(TESTFLAGS) $(PACKAGES)

# One machine after the other: each takes a processor of its own. The first run makes what they boot from.
.PHONY: test-vm
test-vm: modules ## run the tests in virtual machines of Debian 12 and 13; needs root; ALL=1: with all combinations
	@[ "$$(id -u)" -eq 0 ] || { echo 'virtual machines need root of the machine: sudo ./dev test-vm' >&2; exit 1; }
	@$(call tools,gotestsum); set -x; \
	MULTINIC_TEST_VM=$(if $(ALL),all,1) "$$tools/gotestsum" --format pkgname-and-test-fails -- -race -count=1 -p 1 -timeout $(if $(ALL),150m,60m) $(TESTFLAGS) multinic.dev/testbed/vm/... multinic.dev/testbed/monitor multinic.dev/lab/vm

# All settings are at the top of tools/images. A variable that is empty there is as good as unset.
.PHONY: images
images: ## build both images, and an SBOM of each; BUILDER= REGISTRY= IMAGE_TAG= ARCHES= GO_IMAGE= SBOM_DIR=
	@$(call tools,cyclonedx-gomod); \
	$(foreach setting,BUILDER REGISTRY IMAGE_TAG ARCHES GO_IMAGE SBOM_DIR,$(setting)='$($(setting))') \
	SBOM_TOOL="$$tools/cyclonedx-gomod" tools/images

.PHONY: test-chart
test-chart: modules ## lint the Helm chart and compare what it renders; MULTINIC_RENEW=1 writes down what it renders now
	@$(call tools,helm); set -x; cd lab && HELM="$$tools/helm" go test -count=1 $(TESTFLAGS) ./chart

# The builders run in a root tree of their own, which the first run makes: none has to be installed, and no registry is asked.
.PHONY: test-images
test-images: modules ## build the images with docker, nerdctl, podman and buildah, and hold them to what is promised; needs root
	@[ "$$(id -u)" -eq 0 ] || { echo 'docker and its like need root of the machine: sudo ./dev test-images' >&2; exit 1; }
	@$(call tools,gotestsum cyclonedx-gomod); set -x; \
	MULTINIC_TEST_IMAGES=1 SBOM_TOOL="$$tools/cyclonedx-gomod" "$$tools/gotestsum" --format pkgname-and-test-fails -- -race -count=1 -timeout 60m $(TESTFLAGS) multinic.dev/lab/images

# Not in the workspace, so that nobody else carries what it requires. Without the race detector and cgo, as Kubernetes itself is
# built, which the first run does: so what both use is compiled once.
.PHONY: test-kube
test-kube: ## run the tests in a real Kubernetes, which they start, or that of KUBECONFIG; needs root
	@[ -n "$${KUBECONFIG:-}" ] || [ "$$(id -u)" -eq 0 ] || { echo 'nodes of a cluster need root of the machine: sudo ./dev test-kube' >&2; exit 1; }
	@cd dispatcher && GOWORK=off go list -deps -test . ./internal/identity >/dev/null
	@cd executor && GOWORK=off go list -deps . >/dev/null
	@$(call tools,gotestsum helm grpcurl); set -x; cd lab/kube; \
	HELM="$$tools/helm" GRPCURL="$$tools/grpcurl" GOWORK=off CGO_ENABLED=0 "$$tools/gotestsum" --format pkgname-and-test-fails -- -trimpath -count=1 -p 1 -timeout 60m $(TESTFLAGS) ./...

# What is measured on virtual machines needs root, as they do.
.PHONY: bench
bench: modules ## measure, and print the figures
	cd dispatcher && go test -run '^$$' -bench 'Fleet/(commits|plain)' -benchtime 50x -timeout 30m $(TESTFLAGS) ./internal/store
	cd lab && go test -run '^$$' -bench . -benchtime 1x -timeout 30m $(TESTFLAGS) ./loop ./host
	[ "$$(id -u)" -ne 0 ] || (cd lab && MULTINIC_TEST_VM=1 go test -run '^$$' -bench . -benchtime 1x -timeout 60m $(TESTFLAGS) ./vm)

.PHONY: check
check: lint check-generated test ## all that must pass before a change is handed in

.PHONY: lint
lint: lint-modules lint-go lint-proto lint-scripts ## all static checks: modules, Go, protocol, shell scripts

.PHONY: lint-modules
lint-modules: ## each module builds by itself, and requires exactly what it uses
	@for module in $(modules); do \
	  echo "module $$module"; \
	  (cd "$$module" && $(call as_built,$$module) && export GOWORK=off && go mod tidy -diff && go build -buildvcs=false ./... && go vet ./...); \
	done

.PHONY: lint-go
lint-go: ## golangci-lint, formatting among it
	@$(call tools,golangci-lint); \
	failed=0; \
	for module in $(modules); do \
	  echo "golangci-lint $$module"; \
	  (cd "$$module" && $(call as_built,$$module) && "$$tools/golangci-lint" run --allow-parallel-runners ./...) || failed=1; \
	done; \
	exit $$failed

.PHONY: lint-proto
lint-proto: ## the protocol's style and formatting, and that it breaks no peer
	@$(call tools,buf); \
	echo "buf"; \
	"$$tools/buf" lint; \
	"$$tools/buf" format --diff --exit-code; \
	"$$tools/buf" breaking --against proto/baseline.binpb

.PHONY: lint-scripts
lint-scripts: ## shellcheck
	@echo "shellcheck"; shellcheck $(scripts)

.PHONY: generate
generate: ## generate the Go code of the protocol
	@$(call tools,buf protoc-gen-go protoc-gen-go-grpc); \
	PATH="$$tools:$$PATH" buf generate

# Into a folder of its own and compared, so that asking changes nothing.
.PHONY: check-generated
check-generated: ## prove that the generated code is what the protocol generates
	@$(call tools,buf protoc-gen-go protoc-gen-go-grpc); \
	fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	PATH="$$tools:$$PATH" buf generate --output "$$fresh"; \
	diff -r --brief --exclude='*.proto' proto/multinic "$$fresh/proto/multinic" || \
	  { echo 'the generated code is stale: run make generate' >&2; exit 1; }; \
	echo 'the generated code is fresh'

# The image that lint-proto compares with. It is renewed with each release, never to make a check pass.
.PHONY: baseline
baseline: ## make the protocol as it is now the one that later changes must not break
	@$(call tools,buf); "$$tools/buf" build --exclude-source-info --output proto/baseline.binpb

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
