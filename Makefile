# Two commands do all the set-up: `make demo` and `make test`. Both want Debian 12 (or newer), cargo, and root.

# What they need from the distribution, by name.
PACKAGES = mmdebstrap systemd-container nftables iproute2 openssh-client openssh-server sudo procps \
	debian-archive-keyring ca-certificates apt-utils dpkg-dev gnupg xz-utils zstd unzip zip \
	gcc make pkg-config libssl-dev zlib1g-dev perl shellcheck busybox dash \
	fish tcsh zsh openssl python3-venv

PEERS = ansible-core==2.19.14 pyinfra==3.10.0 mitogen==0.3.54

.PHONY: help setup build bench demo demo-down test test-stack test-differential test-quick test-faults soak lint clean

help:
	@echo "make demo       a throw-away host, the whole stack on it, and the proof that it runs"
	@echo "make demo-down  remove every trace of the demo"
	@echo "make test       every test, those on lab hosts and of the whole stack included"
	@echo "make test-stack only the whole stack on lab hosts: three releases, and a cluster"
	@echo "make test-differential  the same playbooks with ansible-core and with mini-play, on twins"
	@echo "make test-quick the tests that need no lab host"
	@echo "make test-faults a lab host broken in many ways, and what is told"
	@echo "make soak       twenty hosts under random faults, thirty times; in the end all is as after one clean run"
	@echo "make bench      workloads on ten lab hosts and a thousand endpoints, beside other tools; writes benches/RESULTS.md"
	@echo "make lint       rustfmt and clippy"

setup:
	@missing=""; for p in $(PACKAGES); do \
		dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || missing="$$missing $$p"; \
	done; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" != 0 ]; then echo "please install:$$missing"; exit 1; fi; \
		echo "installing:$$missing"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

build: setup
	cargo build --release --locked

demo: build
	tests/demo/up

demo-down:
	tests/demo/down

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

test-quick: setup
	cargo test --workspace --locked

# Clippy is not part of every Rust installation; where it is, it has a say.
test: setup
	@if cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1; then $(MAKE) --no-print-directory lint; else echo "lint left out: clippy or rustfmt is not installed"; fi
	MINI_PLAY_LAB_TESTS=1 MINI_PLAY_STACK_TESTS=1 cargo test --workspace --locked

# The whole stack on lab hosts of three Debian releases and as a cluster: about a quarter of an hour.
test-stack: setup
	MINI_PLAY_STACK_TESTS=1 cargo test --locked --test e2e -- --nocapture

# A lab host broken in many ways, one after the other: a minute or two.
test-faults: setup
	MINI_PLAY_LAB_TESTS=1 cargo test --locked --test faults -- --nocapture

# Twenty hosts and thirty rounds of a disturbed and a calm apply; SOAK_SEED repeats one.
soak: setup
	MINI_PLAY_LAB_TESTS=1 SOAK_HOSTS=$${SOAK_HOSTS:-20} SOAK_ROUNDS=$${SOAK_ROUNDS:-30} SOAK_SEED=$${SOAK_SEED:-$$(date +%s)} cargo test --locked --test soak -- --nocapture

# Best on a machine with nothing else to do; about 20 minutes. Python is for the peers only. BENCH="--only A,D --slow 0" chooses.
bench: build
	cargo build --release --locked --example floor --example plan
	test -d target/peers/lib/python3*/site-packages/ansible_mitogen || { python3 -m venv target/peers && target/peers/bin/pip install -q $(PEERS); }
	target/release/mini-play lab up --name bench --hosts 10
	benches/run.py $(BENCH) bench target/release/mini-play target/release/examples/floor target/peers; \
		code=$$?; target/release/mini-play lab down --name bench; exit $$code

clean: demo-down
	cargo clean
