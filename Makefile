# Everything a person or CI does with this repository starts here. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PRESET ?= release
BUILD := build/$(PRESET)
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
EXAMPLE ?= quickstart
SINCE ?= HEAD
# what the examples, the interop cases and the benchmarks start
export FAIRLEAD_BIN := $(CURDIR)/$(BUILD)/bin
# What has threads and does not link gRPC: Debian's gRPC and abseil are not instrumented, so the rest would report false races.
TSAN_TESTS := test_dataplane_net test_dataplane_stats test_dataplane_accesslog test_adapters_file test_integration_http test_integration_echo
CTEST := ctest --test-dir $(BUILD) --output-on-failure --no-tests=error

# Debian 12 packages, by name. go is taken from the PATH when there is one (1.19 or newer).
BUILD_PACKAGES := build-essential cmake ninja-build ccache mold pkg-config ca-certificates git python3 python3-pip \
  libgrpc++-dev libgrpc-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev libabsl-dev libboost1.81-dev \
  libnghttp2-dev libssl-dev nlohmann-json3-dev libyaml-cpp-dev libcpp-httplib-dev libre2-dev libc-ares-dev \
  libcli11-dev libspdlog-dev libfmt-dev libxxhash-dev zlib1g-dev libbrotli-dev libzstd-dev catch2 curl
TEST_PACKAGES := openssl procps python3-yaml iproute2 nftables
INTEROP_PACKAGES := python3-venv haproxy nftables iproute2
BROWSER_PACKAGES := chromium-headless-shell
BENCH_PACKAGES := nginx-light haproxy wrk nghttp2-client nghttp2-server nghttp2-proxy python3-venv
FUZZ_PACKAGES := clang-14 libclang-rt-14-dev llvm-14
FORMAT_PACKAGES := clang-format-14
KUBERNETES_PACKAGES := etcd-server iproute2 openssl curl python3-venv python3-yaml

# waits for another installation that goes on
APT_GET := apt-get -o DPkg::Lock::Timeout=300

# $(call need,PACKAGES): installs what is missing, and says so; nothing to do is silent.
define need
missing=(); for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing+=("$$p"); done; \
if [ "$${#missing[@]}" -gt 0 ]; then \
  sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
  command -v apt-get >/dev/null && command -v $${sudo:-apt-get} >/dev/null || \
    { echo "These Debian packages are missing, and only root can install them with apt-get: $${missing[*]}" >&2; exit 1; }; \
  echo "Installing Debian packages$${sudo:+ through sudo}: $${missing[*]}"; \
  $$sudo $(APT_GET) update -qq; \
  $$sudo env DEBIAN_FRONTEND=noninteractive $(APT_GET) install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null; \
fi
endef

.PHONY: help deps configure build run test unit integration interop interop-smoke test-kubernetes conformance conformance-core test-helm bench fuzz check-full format install clean

help: ## this list
	@echo "Fairlead: make TARGET [PRESET=release|debug|asan-ubsan|tsan|fuzz] [JOBS=N]"; echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

deps: ## install what the build needs (Debian 12 packages; sudo when not root)
	@$(call need,$(BUILD_PACKAGES))
	@command -v go >/dev/null || { $(call need,golang-go); }

configure: deps
	@[ -f $(BUILD)/build.ninja ] || cmake --preset $(PRESET)

build: configure ## the three binaries, into build/PRESET/bin
	@cmake --build $(BUILD) -j $(JOBS) --target binaries

run: build ## build, then the quickstart: three upstreams, control plane, proxy (EXAMPLE=name for another example)
	@! grep -qs '^DATA_PLANE=envoy' examples/$(EXAMPLE)/example.env || { $(call need,$(INTEROP_PACKAGES)); }
	@BIN=$(FAIRLEAD_BIN) exec examples/run $(EXAMPLE)

test: configure ## build and run every test that needs no peer outside Debian's packages
	@$(call need,$(TEST_PACKAGES))
	@cmake --build $(BUILD) -j $(JOBS)
	@$(CTEST) -LE 'interop|soak' -j $(JOBS)

unit: configure ## the unit tests alone
	@cmake --build $(BUILD) -j $(JOBS) && $(CTEST) -L unit -j $(JOBS)

integration: configure ## the integration tests alone
	@cmake --build $(BUILD) -j $(JOBS) && $(CTEST) -L integration

interop: build ## against real peers: Envoy 1.40, go-control-plane, gRPC's xDS client, a browser
	@$(call need,$(INTEROP_PACKAGES) $(BROWSER_PACKAGES))
	@command -v npm >/dev/null || { $(call need,nodejs npm); }
	@tests/interop/run all

interop-smoke: build ## the part of interop that CI runs
	@$(call need,$(INTEROP_PACKAGES))
	@tests/interop/run smoke

test-kubernetes: build ## against a real Kubernetes API server, with a proxy for each Gateway (tests/lab; the first time builds Kubernetes, ten minutes)
	@$(call need,$(KUBERNETES_PACKAGES))
	@tests/lab/run --data-plane $${DATA_PLANE:-fairlead-proxy} tests/lab/run_tests
	@tests/lab/run tests/lab/managed
	@tests/lab/run tests/lab/statuses
	@tests/lab/chart --steady $${STEADY:-20}

conformance-core: build ## the core of the Gateway API conformance suite, every profile, with fairlead-proxy: the part that CI runs
	@$(call need,$(KUBERNETES_PACKAGES))
	@tests/lab/conformance --core

conformance: build ## the Gateway API conformance suite: every profile and feature, with both data planes, and with the chart; reports in build/lab
	@$(call need,$(KUBERNETES_PACKAGES))
	@for proxy in fairlead-proxy envoy managed; do tests/lab/conformance --all --proxy $$proxy --report build/lab/$$proxy.yaml; done

test-helm: build ## the chart, rendered by Helm in every mode (the first time builds Helm, some minutes)
	@$(call need,$(TEST_PACKAGES))
	@helm/test

bench: build ## every benchmark beside its peers; prints ratios (the first time builds Kubernetes)
	@$(call need,$(BENCH_PACKAGES) $(KUBERNETES_PACKAGES))
	@bench/run all

fuzz: deps ## every fuzz target for FUZZ_SECONDS (60)
	@$(call need,$(FUZZ_PACKAGES))
	@tests/fuzz/run --seconds $${FUZZ_SECONDS:-60}

check-full: export STEADY := 600
check-full: test interop test-kubernetes conformance ## everything: tests, both sanitizer builds, fuzzing, all interop, a real API server, soaks
	@$(call need,$(BENCH_PACKAGES))
	@[ -f build/asan-ubsan/build.ninja ] || cmake --preset asan-ubsan
	@cmake --build build/asan-ubsan -j $(JOBS)
	@ctest --test-dir build/asan-ubsan --output-on-failure --no-tests=error -LE 'interop|soak' -j $(JOBS)
	@[ -f build/tsan/build.ninja ] || cmake --preset tsan
	@cmake --build build/tsan -j $(JOBS) --target $(TSAN_TESTS) fairlead-proxy
	@for t in $(TSAN_TESTS); do echo "== $$t (ThreadSanitizer)"; build/tsan/bin/$$t; done
	@echo "== pushes under load (ThreadSanitizer)"; tests/integration/pushes.py build/tsan/bin 20
	@$(MAKE) --no-print-directory fuzz
	@$(CTEST) -L soak

format: ## clang-format over the lines that you changed (since SINCE=HEAD), and over new files
	@$(call need,$(FORMAT_PACKAGES))
	@git clang-format-14 --binary clang-format-14 --quiet --force --extensions cc,h $(SINCE) || [ $$? = 1 ]
	@git ls-files -z --others --exclude-standard '*.cc' '*.h' | xargs -0r clang-format-14 -i

install: build ## install the binaries under PREFIX (/usr/local)
	@cmake --install $(BUILD) --prefix $(PREFIX)

clean: ## remove build trees (downloads stay)
	@rm -rf build/release build/debug build/asan-ubsan build/tsan build/fuzz
