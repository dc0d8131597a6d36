# What one does with a clone. `make help` lists it. Everything here is a line that can be typed by hand as well.

CARGO ?= cargo

.PHONY: help setup demo test lint smoke soak bench bench-peers guard fuzz fuzz-merge doc ci clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what a build needs beside Rust, or say how
	@.ci/setup

demo: setup ## Three clusters, a proxy and 1,000 users on this machine
	$(CARGO) run --locked --release --bin causeway -- demo

test: ## All tests, then the optimised programs once
	@.ci/setup --test
	$(CARGO) test --workspace --locked
	.ci/smoke

lint: ## Format, clippy, dependency rules, licences and bans
	@.ci/setup --lint
	$(CARGO) fmt --all --check
	.ci/dependency-rules
	.ci/deny
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

smoke: setup ## Only the optimised programs, once
	.ci/smoke

soak: setup ## Half an hour of mixed load and faults; fails at a leak, a panic, a hang or a wrong answer
	$(CARGO) run --locked --release -p causeway-tests --bin soak -- --minutes 30

bench: setup ## What decisions, configs and the size of a config cost; some minutes on a quiet machine
	$(CARGO) bench --locked -p causeway-benches
	$(CARGO) build --locked --release -p causeway-proxy
	$(CARGO) run --locked --release -p causeway-benches --bin scale

bench-peers: setup ## This proxy beside HAProxy, nginx, Envoy, Traefik and Pingora; half an hour on a quiet machine
	$(CARGO) build --locked --release -p causeway-proxy -p causeway-loadtest
	$(CARGO) run --locked --release -p causeway-loadtest -- compare

guard: setup ## Instructions a request, against the committed counts
	.ci/instructions

fuzz: setup ## Each fuzz target for ten million executions (FUZZ_RUNS); needs a C++ compiler; hours
	.ci/fuzz run

fuzz-merge: setup ## Keep what the fuzzer learnt, in fuzz/corpus
	.ci/fuzz merge

doc: setup ## The crates' documentation, in target/doc
	$(CARGO) doc --workspace --no-deps --locked

ci: ## What must hold before a change goes in
	bash .ci/run

clean: ## Remove what was built
	$(CARGO) clean
