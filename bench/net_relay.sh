#!/usr/bin/env bash
# CPU per message of net_relay's three modes in one run: nginx answers, wrk asks over 64 connections, the relay alone on core 0.
# Usage: bench/net_relay.sh BUILD_DIR [SECONDS] [ROUNDS]
set -euo pipefail
build=${1:?build directory}; seconds=${2:-4}; rounds=${3:-3}
dir=$(mktemp -d); port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
up=$(port)
cat > "$dir/nginx.conf" <<END
worker_processes 1; daemon off; pid $dir/pid; error_log $dir/error.log;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 1000000000; client_body_temp_path $dir; proxy_temp_path $dir; fastcgi_temp_path $dir; uwsgi_temp_path $dir; scgi_temp_path $dir;
  server { listen 127.0.0.1:$up; location / { return 200 "hello, world\n"; } } }
END
taskset -c 1 nginx -c "$dir/nginx.conf" -p "$dir" & nginx=$!
trap 'kill $nginx 2>/dev/null; rm -rf "$dir"' EXIT
answers() { for _ in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/$1) 2>/dev/null && return; sleep 0.05; done; echo "nothing listens on $1" >&2; exit 1; }
answers "$up"
for round in $(seq "$rounds"); do
  for mode in epoll net asio; do
    at=$(port)
    taskset -c 0 "$build/bin/bench_net_relay" $mode "$at" "$up" > "$dir/cpu" & relay=$!
    answers "$at"
    taskset -c 1 wrk -t1 -c64 -d"${seconds}s" "http://127.0.0.1:$at/" > "$dir/wrk"
    kill -TERM $relay; wait $relay || true
    requests=$(awk '/requests in/ {print $1}' "$dir/wrk")
    awk -v m=$mode -v r="$requests" -v c="$(cat "$dir/cpu")" 'BEGIN { printf "%-6s %8d requests  %6.2f us of CPU each\n", m, r, c / r }'
  done
done
