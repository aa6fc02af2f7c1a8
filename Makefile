# make build | serve | test | long | lint | docs | fuzz | fuzz-guided | large | bench | bench-micro | clean

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build

PYTHON ?= python3
CONFIG ?=
DATA ?= data
DIMSE_PORT ?= 11112
HTTP_PORT ?= 8080
FUZZ_SECONDS ?= 60
FUZZ_SEED ?= $(shell date +%s)
OBJECT_BYTES ?= 5368709120
BENCH_ROUNDS ?= 2
BENCH_SECONDS ?= 2
BENCH_SIZES ?= 100,1000
SAVE ?=

VENV := .venv
BUILT := $(VENV)/.built
NATIVE := $(shell find native -type d \( -name target -o -name fuzz \) -prune -o -type f -print)
MANIFEST := --manifest-path native/Cargo.toml
FUZZ := --manifest-path native/fuzz/Cargo.toml
# Debian packages with the programs that interop tests drive.
TEST_PACKAGES := curl dcmtk libgdcm-tools

.PHONY: build serve test long test-tools lint docs fuzz fuzz-guided large bench bench-micro clean

build: $(BUILT)

$(BUILT): pyproject.toml $(NATIVE)
	@command -v cargo >/dev/null || { echo "the build needs Rust: https://rustup.rs" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

serve: build
	@exec $(VENV)/bin/vna serve $(if $(CONFIG),--config '$(CONFIG)') \
	  --data '$(DATA)' --dimse-port $(DIMSE_PORT) --http-port $(HTTP_PORT)

test: build test-tools
	cargo test --quiet $(MANIFEST) --package vna-core
	$(VENV)/bin/pytest

# What is too long for every change: many more seeds of crashes and faults.
long: build test-tools
	$(VENV)/bin/pytest -m long --timeout 3600

test-tools:
	@missing=; for package in $(TEST_PACKAGES); do \
	  dpkg-query --show --showformat='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' \
	    || missing+=" $$package"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then \
	  echo "tests need these Debian packages; run: sudo apt-get install$$missing" >&2; exit 1; \
	fi; \
	apt-get update -qq; \
	DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends $$missing >/dev/null

lint: build
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	cargo fmt $(MANIFEST) --all --check
	cargo fmt $(FUZZ) --check
	cargo clippy --quiet $(MANIFEST) --workspace --all-targets -- --deny warnings
	cargo clippy --quiet $(FUZZ) --target-dir native/target --example mutate -- --deny warnings

# The pages that are written from the code; tests fail when they are out of date.
docs: build
	$(VENV)/bin/vna config show > config/vna.toml
	$(VENV)/bin/python -c 'import vna.config as c; print(c.settings_page(), end="")' > docs/settings.md
	$(VENV)/bin/python -c 'import vna.cli as c; print(c.commands_page(), end="")' > docs/cli.md
	$(VENV)/bin/python -c 'from vna.observe import metrics, metrics_page; print(metrics_page(metrics.REGISTRY), end="")' > docs/metrics.md

# All fuzzers, FUZZ_SECONDS each, by mutation of seeds (docs/fuzzing.md). What breaks one is kept, and
# the command that shows it again is printed.
fuzz: build
	cargo run --quiet $(FUZZ) --example mutate --target-dir native/target -- \
	  $(FUZZ_SECONDS) $(FUZZ_SEED) native/fuzz/regressions native/fuzz/artifacts
	$(VENV)/bin/python tests/fuzz/fuzz.py --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)

# The fuzzers of the Rust core again, guided by coverage; needs a nightly toolchain and cargo-fuzz.
fuzz-guided:
	@cargo fuzz --version >/dev/null 2>&1 || { \
	  echo "fuzzing needs: rustup toolchain install nightly; cargo install cargo-fuzz" >&2; exit 1; }
	for target in $$(cargo fuzz list --fuzz-dir native/fuzz); do \
	  cargo +nightly fuzz run --fuzz-dir native/fuzz --features libfuzzer $$target -- \
	    -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=4096; \
	done

# One object of OBJECT_BYTES through every door; prints rates and the worker's peak memory.
large: build
	VNA_OBJECT_BYTES=$(OBJECT_BYTES) $(VENV)/bin/pytest -q tests/limits/test_large_objects.py \
	  -k every_door

# This archive beside its peers, in turns: build/bench/{results.json,report.html}.
bench: TEST_PACKAGES += orthanc orthanc-dicomweb nginx-light linux-perf
bench: build test-tools
	$(VENV)/bin/python bench/compare.py --rounds $(BENCH_ROUNDS) --seconds $(BENCH_SECONDS) \
	  --sizes $(BENCH_SIZES) --out build/bench

# Single steps, compared with the run that SAVE=1 saved last.
bench-micro: build
	$(VENV)/bin/pytest bench/micro --override-ini=testpaths=bench/micro --benchmark-only \
	  --benchmark-storage=build/bench/micro --benchmark-columns=min,median,ops \
	  --benchmark-sort=name $(if $(SAVE),--benchmark-save=run) \
	  $(if $(wildcard build/bench/micro/*/*.json),--benchmark-compare)

clean:
	rm -rf $(VENV) native/target .mypy_cache .ruff_cache .hypothesis .import_linter_cache .benchmarks
	find vna tests bench -name __pycache__ -prune -exec rm -rf {} +
	rm -f vna/_native*.so
