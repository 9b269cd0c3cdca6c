#!/usr/bin/env bash
# Measures searching a history: N logs (200) of SIZE bytes (50 MB), one to a build,
# against age, zstd and grep in a loop over the same files, downloaded.
#
#   bench/grep.sh VITRINE [LOG]
#
# VITRINE is the built command. Each log is another part of LOG, or of one of 1 GiB
# as seal.sh makes it; two of them have a word that no other has. They are sealed
# one by one, and never lie on the disk all at once. Needs age, zstd, curl, git,
# GNU time, and three times the sealed logs on the disk (6 GB).
set -euo pipefail

vitrine=$(realpath "${1:?usage: bench/grep.sh VITRINE [LOG]}")
n=${N:-200} size=${SIZE:-50000000} rounds=${ROUNDS:-3}
root=$(cd "$(dirname "$0")/.." && pwd)
for tool in age age-keygen zstd curl git ssh-keygen /usr/bin/time; do
	command -v "$tool" >/dev/null || { echo "bench/grep.sh needs $tool" >&2; exit 1; }
done
dir=$(mktemp -d "${TMPDIR:-/tmp}/vitrine-bench.XXXXXX")
server=
stop() { [ -z "$server" ] || { kill "$server"; wait "$server" || true; }; server=; }
trap 'stop; rm -rf "$dir"' EXIT
[ -z "${2:-}" ] || log=$(realpath "$2")
cd "$dir"
if [ -z "${log:-}" ]; then
	log=$dir/log
	"$root/bench/log.sh" "$log"
fi

age-keygen -o key 2>/dev/null
ssh-keygen -q -t ed25519 -N '' -C '' -f runner
mkdir -p keyring/keys keyring/publishers keyring/services bucket part
age-keygen -y key >keyring/keys/alice.pub
cp runner.pub keyring/publishers/bridge.pub
printf 'jobs: [deploy]\nreaders: [alice]\npublishers: [bridge]\n' >keyring/services/web.yaml
git -C keyring init -q -b main
git -C keyring add .
git -C keyring -c user.name=bench -c user.email=bench@localhost -c commit.gpgsign=false commit -qm keyring
export VITRINE_KEYRING=$dir/keyring VITRINE_KEY=$dir/runner VITRINE_TENANT=main VITRINE_IDENTITY=$dir/key
export XDG_STATE_HOME=$dir/state XDG_CACHE_HOME=$dir/cache

rare=quetzalcoatl-7341 common=${COMMON:-TASK}
echo "sealing $n logs of $size bytes" >&2
room=$(($(stat -c %s "$log") - size))
for ((i = 0; i < n; i++)); do
	{
		echo "log $i"
		tail -c +$((i * 36999937 % room + 1)) "$log" | head -c $((size / 2))
		if [ $i = $((n / 3)) ] || [ $i = $((n / 2)) ]; then printf '\nTASK [%s] ***\n' $rare; fi
		tail -c +$((i * 36999937 % room + size / 2 + 1)) "$log" | head -c $((size / 2))
	} >part/console.log 2>/dev/null || true # tail is told that head has enough
	"$vitrine" publish --job deploy --result SUCCESS --store "$dir/bucket" part >/dev/null
done
rm part/console.log
[ "$log" != "$dir/log" ] || rm log
find bucket/artifacts -name console.log.zst.age >files
[ "$(wc -l <files)" = "$n" ]

port=$((20000 + RANDOM % 10000))
"$vitrine" serve --listen "127.0.0.1:$port" --storage "$dir/bucket" --index index.sqlite 2>server.log &
server=$!
export VITRINE_SERVER=http://127.0.0.1:$port
for _ in $(seq 300); do
	if curl -fs -o /dev/null "$VITRINE_SERVER/readyz"; then break; fi
	sleep 0.2
done

loop() { while read -r f; do age -d -i key "$f" | zstd -dqc | LC_ALL=C grep -a "$1"; done <files; }
ours() { /usr/bin/time -f '%M' -o kb "$vitrine" grep --cache-size 1TB "$@"; }
best= kb=
# measure ROUNDS BEFORE COMMAND… prints the best time and the most memory.
measure() {
	local times=$1 before=$2 start took
	shift 2
	best=
	for ((round = 0; round < times; round++)); do
		$before
		start=${EPOCHREALTIME/./}
		"$@" >out || true
		took=$((${EPOCHREALTIME/./} - start))
		[ -n "$best" ] && [ "$best" -lt "$took" ] || best=$took
	done
}
cold() { rm -rf cache/vitrine; }
row() { awk -v name="$1" -v us="$best" -v than="$loop" -v kb="$(tail -n 1 kb)" -v lines="$(wc -l <out)" 'BEGIN {
	printf "%-42s %8.2f s %7.1f x %5d MiB %8d lines\n", name, us / 1e6, than / us, kb / 1024, lines }'; }

echo "$n logs of $size bytes, $(du -sb bucket/artifacts | cut -f1) as stored, best of $rounds on $(nproc) cores; x is how many times faster than the loop, MiB its peak of memory"
for word in rare common; do
	echo 0 >kb
	measure 1 : loop "${!word}"
	loop=$best
	row "$word word: age -d | zstd -d | grep"
	cp out expected
	measure 1 cold ours -F --no-index "${!word}"
	row "$word word, nothing cached, no index"
	measure "$rounds" : ours -F --no-index "${!word}"
	row "$word word, cached, no index"
	cmp <(sort expected) <(cut -d: -f3- out | sort)
	measure 1 cold ours -F "${!word}"
	row "$word word, nothing cached, index"
	measure "$rounds" : ours -F "${!word}"
	row "$word word, cached, index"
	cmp <(sort expected) <(cut -d: -f3- out | sort)
	ours -F --no-index "${!word}" >out # so that the next finds all of it cached
	measure "$rounds" : ours -F -c --no-index "${!word}"
	row "$word word, cached, no index, -c"
done
