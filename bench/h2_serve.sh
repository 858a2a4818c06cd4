#!/usr/bin/env bash
# bench/h2_serve.sh [REQUESTS]: CPU per request of the HTTP/2 codec alone (bench_h2_serve) beside nghttpd, for h2load's 4 connections of
# 32 streams. Three rounds, interleaved; the server on core 0, the load on core 1.
set -euo pipefail
cd "$(dirname "$0")/.."
requests=${1:-200000}
serve=${SERVE:-build/release/bin/bench_h2_serve}
root=$(mktemp -d)
trap 'kill "${pids[@]}" 2>/dev/null; rm -rf "$root"' EXIT
printf 'hello world!' > "$root/index"
free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
ours=$(free_port); theirs=$(free_port)
taskset -c 0 "$serve" "$ours" & pids=($!)
taskset -c 0 nghttpd --no-tls -d "$root" "$theirs" & pids+=($!)
sleep 0.5
cpu() { cat /proc/"$1"/task/*/schedstat | awk '{s += $1} END {printf "%.0f", s}'; }
measure() {  # NAME PID PORT PATH
  local before after
  before=$(cpu "$2")
  taskset -c 1 h2load -n "$requests" -c 4 -m 32 -t 1 "http://127.0.0.1:$3/$4" | grep -E '^requests:|finished in' | tr '\n' ' '
  after=$(cpu "$2")
  echo; awk -v name="$1" -v ns=$((after - before)) -v n="$requests" 'BEGIN {printf "%-10s %.2f us CPU per request\n", name, ns / n / 1000}'
}
for _ in 1 2 3; do
  measure fairlead "${pids[0]}" "$ours" index
  measure nghttpd "${pids[1]}" "$theirs" index
done
