#!/bin/sh
# Instructions that planning workload A takes for so many hosts against hosts that are functions; see plan.rs. Wants valgrind.
#   benches/callgrind.sh [HOSTS]
set -e
cd "$(dirname "$0")/.."
hosts=${1:-1000}
cargo build --release --locked --example plan
plan=$PWD/target/release/examples/plan
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$plan" record "$dir"
# What it costs in seconds, start included; no more than two for a thousand hosts.
time "$plan" replay "$dir" "$hosts"
valgrind --tool=callgrind --callgrind-out-file="$dir/callgrind.out" "$plan" replay "$dir" "$hosts" 2>&1 | grep -E 'results|Collected'
callgrind_annotate --inclusive=yes "$dir/callgrind.out" | sed -n '/PROGRAM TOTALS/,$p' | head -60
