#!/bin/sh
# Builds the stand-ins as one static program that runs on every Debian and Ubuntu, and prints its path.
set -eu
cd "$(dirname "$0")/../.."
target=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS='-C target-feature=+crt-static' CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_STRIP=symbols \
    cargo build --quiet --package standins --target "$target" >&2
echo "${CARGO_TARGET_DIR:-$PWD/target}/$target/debug/standins"
