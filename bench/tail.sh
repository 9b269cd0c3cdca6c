#!/usr/bin/env bash
# Measures the last 100 lines of a log of 10 GiB, sealed to ten people, against
# downloading and opening all of it with stock tools: from a directory, S3 and
# Swift, through vitrine serve.
#
#   test/stores/run bench/tail.sh VITRINE [LOG]
#
# VITRINE is the built command; test/stores/run starts the stores and says where
# they are. The log is LOG again and again, or one of 1 GiB as seal.sh makes it;
# it is sealed as it comes, and never lies on the disk. SIZE is how many bytes of it
# there are. Needs age, zstd, curl, git, and three times the sealed log on the disk
# (4.5 GB).
set -euo pipefail

vitrine=$(realpath "${1:?usage: test/stores/run bench/tail.sh VITRINE [LOG]}")
size=${SIZE:-$((10 << 30))} rounds=${ROUNDS:-3}
root=$(cd "$(dirname "$0")/.." && pwd)
: "${VITRINE_TEST_S3:?run it by test/stores/run}" "${VITRINE_TEST_SWIFT:?run it by test/stores/run}"
for tool in age age-keygen zstd curl git ssh-keygen; do
	command -v "$tool" >/dev/null || { echo "bench/tail.sh needs $tool" >&2; exit 1; }
done
dir=$(mktemp -d "${TMPDIR:-/tmp}/vitrine-bench.XXXXXX")
server=
stop() { [ -z "$server" ] || { kill "$server"; wait "$server" || true; }; server=; }
trap 'stop; rm -rf "$dir"' EXIT
[ -z "${2:-}" ] || log=$(realpath "$2")
cd "$dir"
if [ -z "${log:-}" ]; then
	log=$dir/piece
	"$root/bench/log.sh" "$log"
fi

mkdir -p keyring/keys keyring/publishers keyring/services
readers=
for i in $(seq 10); do
	age-keygen -o "key$i" 2>/dev/null
	age-keygen -y "key$i" >"keyring/keys/reader$i.pub"
	readers+="reader$i,"
done
ssh-keygen -q -t ed25519 -N '' -C '' -f runner
cp runner.pub keyring/publishers/bridge.pub
printf 'jobs: [deploy]\nreaders: [%s]\npublishers: [bridge]\n' "${readers%,}" >keyring/services/web.yaml
git -C keyring init -q -b main
git -C keyring add .
git -C keyring -c user.name=bench -c user.email=bench@localhost -c commit.gpgsign=false commit -qm keyring
export VITRINE_KEYRING=$dir/keyring VITRINE_KEY=$dir/runner VITRINE_TENANT=main XDG_STATE_HOME=$dir/state XDG_CACHE_HOME=$dir/cache

cat >print <<END
#!/bin/sh
while cat '$log'; do :; done 2>/dev/null | head -c $size
END
chmod +x print
mkdir bucket
echo "sealing $size bytes" >&2
"$vitrine" run --job deploy --store "$dir/bucket" --echo=false --send-every 24h -- ./print >/dev/null
sealed=$(find bucket/artifacts -type f) uuid=$(basename "$(dirname "$sealed")")
bytes=$(stat -c %s "$sealed")

declare -A store=([directory]=$dir/bucket [S3]=${VITRINE_TEST_S3/\?//tail?} [Swift]=$VITRINE_TEST_SWIFT/tail)
timed() {
	local start=${EPOCHREALTIME/./}
	"$@"
	took=$((${EPOCHREALTIME/./} - start))
}
all() { curl -fsSL "$VITRINE_SERVER/api/v1/tenant/main/builds/$uuid/artifacts/$(basename "$sealed")" | age -d -i key1 | zstd -dqc | tail -n 100 >all.txt; }
last() { VITRINE_DEBUG=1 "$vitrine" tail -n 100 -i key1 "$uuid" >last.txt 2>debug.txt; }

echo "the last 100 lines of a log of $size bytes, $bytes as stored; best of $rounds"
for name in directory S3 Swift; do
	if [ $name != directory ]; then
		echo "copying to $name" >&2
		"$vitrine" storage copy "$dir/bucket" "${store[$name]}" >/dev/null
	fi
	direct=$([ $name = directory ] || echo --direct)
	port=$((20000 + RANDOM % 10000))
	"$vitrine" serve --listen "127.0.0.1:$port" --storage "${store[$name]}" --index "$name.sqlite" $direct 2>"$name.log" &
	server=$!
	export VITRINE_SERVER=http://127.0.0.1:$port
	for _ in $(seq 300); do
		if curl -fs -o /dev/null "$VITRINE_SERVER/api/v1/tenant/main/builds/$uuid"; then break; fi
		sleep 0.2
	done
	best=
	for ((round = 0; round < rounds; round++)); do
		timed last
		[ -n "$best" ] && [ "$best" -lt "$took" ] || best=$took
	done
	timed all
	cmp all.txt last.txt
	read -r requests fetched < <(sed -n 's/.*requests=\([0-9]*\) bytes=\([0-9]*\) .*/\1 \2/p' debug.txt)
	awk -v name=$name -v us="$best" -v all="$took" -v requests="$requests" -v fetched="$fetched" -v bytes="$bytes" 'BEGIN {
		printf "%-10s vitrine tail %7.3f s %3d requests %8d bytes   curl | age -d | zstd -d | tail %7.2f s %11d bytes   %5.0f x the time, %6.0f x the bytes\n",
			name, us / 1e6, requests, fetched, all / 1e6, bytes, all / us, bytes / fetched }'
	stop
done
