#!/usr/bin/env bash
# Makes a log of 1 GiB from those in testdata/logs, each line with a time of its
# own, as a CI's console has it.
#
#   bench/log.sh FILE
set -euo pipefail
file=${1:?usage: bench/log.sh FILE}
logs=$(cd "$(dirname "$0")/../testdata/logs" && pwd)
echo "making a log of 1 GiB" >&2
lines=$(mktemp "$file.XXXXXX")
trap 'rm -f "$lines"' EXIT
{ cat "$logs"/*.log; zstd -dqc "$logs"/*.log.zst; } >"$lines"
# One pass of awk per copy of the logs, each with other times.
size=$(stat -c %s "$lines")
for ((i = 0; i * size < 1 << 30; i++)); do
	awk -v day=$((i % 28 + 1)) -v seed=$i 'BEGIN { srand(seed) } {
		t += int(rand() * 1.3)
		printf "2026-11-%02d %02d:%02d:%02d.%06d | %s\n", day, t / 3600 % 24, t / 60 % 60, t % 60, rand() * 1e6, $0
	}' "$lines"
done | head -c $((1 << 30)) >"$file" || [ "${PIPESTATUS[1]}" = 0 ]
