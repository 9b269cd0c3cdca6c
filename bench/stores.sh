#!/usr/bin/env bash
# Measures publishing to S3 and Swift against gpg with the store's own client,
# and against zstd, age and rclone in a pipe.
#
#   test/stores/run bench/stores.sh VITRINE [LOG]
#
# VITRINE is the built command; test/stores/run starts the stores and says where
# they are. Without LOG, a log of 1 GiB is made as seal.sh does. Needs age, zstd,
# gpg, rclone, GNU time, and of each store its client: aws and swift. A client
# that is not installed leaves its row out.
set -euo pipefail

vitrine=$(realpath "${1:?usage: test/stores/run bench/stores.sh VITRINE [LOG]}")
rounds=${ROUNDS:-3}
root=$(cd "$(dirname "$0")/.." && pwd)
: "${VITRINE_TEST_S3:?run it by test/stores/run}" "${VITRINE_TEST_SWIFT:?run it by test/stores/run}"
for tool in age age-keygen zstd gpg git ssh-keygen /usr/bin/time; do
	command -v "$tool" >/dev/null || { echo "bench/stores.sh needs $tool" >&2; exit 1; }
done
dir=$(mktemp -d "${TMPDIR:-/tmp}/vitrine-bench.XXXXXX")
export GNUPGHOME=$dir/gnupg
trap 'gpgconf --kill all 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"

if [ -n "${2:-}" ]; then
	log=$(cd "$OLDPWD" && realpath "$2")
else
	log=$dir/deploy.log
	"$root/bench/log.sh" "$log"
fi
mkdir small
for i in $(seq 1 20); do
	tail -c +$((i * 20000000 % ($(stat -c %s "$log") - 600000))) "$log" | head -c 600000 >"small/$i.log" || true
done

# A keyring of one reader, and the keys of the others.
age-keygen -o key 2>/dev/null
recipient=$(age-keygen -y key)
mkdir -m 700 gnupg
gpg --batch --quiet --passphrase '' --quick-generate-key bench default default never 2>/dev/null
ssh-keygen -q -t ed25519 -N '' -C '' -f runner
mkdir -p keyring/keys keyring/publishers keyring/services
echo "$recipient" >keyring/keys/alice.pub
cp runner.pub keyring/publishers/bridge.pub
printf 'jobs: [deploy]\nreaders: [alice]\npublishers: [bridge]\n' >keyring/services/web.yaml
git -C keyring init -q -b main
git -C keyring add .
git -C keyring -c user.name=bench -c user.email=bench@localhost -c commit.gpgsign=false commit -qm keyring
export VITRINE_KEYRING=$dir/keyring VITRINE_KEY=$dir/runner XDG_STATE_HOME=$dir/state XDG_CACHE_HOME=$dir/cache

# The same bucket and container for all.
s3=${VITRINE_TEST_S3#s3://} s3=${s3%%[?/]*}
swift=${VITRINE_TEST_SWIFT#swift://} swift=${swift%%[?/]*}
endpoint=$(sed -n 's/.*[?&]endpoint=\([^&]*\).*/\1/p' <<<"$VITRINE_TEST_S3" | sed 's/%3A/:/g; s/%2F/\//g')
export RCLONE_CONFIG=/dev/null RCLONE_CONFIG_S3_TYPE=s3 RCLONE_CONFIG_S3_PROVIDER=Other RCLONE_CONFIG_S3_ENDPOINT=$endpoint
export RCLONE_CONFIG_S3_ENV_AUTH=true RCLONE_CONFIG_SWIFT_TYPE=swift RCLONE_CONFIG_SWIFT_AUTH=$ST_AUTH RCLONE_CONFIG_SWIFT_AUTH_VERSION=1
export RCLONE_CONFIG_SWIFT_USER=$ST_USER RCLONE_CONFIG_SWIFT_KEY=$ST_KEY

publish() { /usr/bin/time -f %M -o "$1.kb" "$vitrine" publish --job deploy --result SUCCESS --store "$2" "$3" >/dev/null; }
gpg_encrypt() { gpg --batch --quiet --trust-model always --yes -r bench -o "gpg/$(basename "$1").gpg" --encrypt "$1"; }
gpg_all() { for f in "$@"; do gpg_encrypt "$f"; done; }
gpg_then() { rm -rf gpg; mkdir gpg; gpg_all "${@:2}"; "$1"; }
rclone_rcat() { zstd -1 -T0 -qc "$1" | age -r "$recipient" | rclone -q rcat "$2/rclone/$(basename "$1").zst.age"; }
rclone_small() { for f in small/*.log; do rclone_rcat "$f" "$1"; done; }

s3_large_vitrine() { publish s3 "$VITRINE_TEST_S3" "$log"; }
aws_put() { aws --endpoint-url "$endpoint" s3 cp --quiet --recursive gpg "s3://$s3/gpg/"; }
swift_put() { swift -q upload "$swift" gpg; }
s3_large_gpg() { gpg_then aws_put "$log"; }
s3_large_rclone() { rclone_rcat "$log" "s3:$s3"; }
s3_small_vitrine() { publish s3_small "$VITRINE_TEST_S3" small; }
s3_small_gpg() { gpg_then aws_put small/*.log; }
s3_small_rclone() { rclone_small "s3:$s3"; }
swift_large_vitrine() { publish swift "$VITRINE_TEST_SWIFT" "$log"; }
swift_large_gpg() { gpg_then swift_put "$log"; }
swift_large_rclone() { rclone_rcat "$log" "swift:$swift"; }
swift_small_vitrine() { publish swift_small "$VITRINE_TEST_SWIFT" small; }
swift_small_gpg() { gpg_then swift_put small/*.log; }
swift_small_rclone() { rclone_small "swift:$swift"; }

names=()
for store in s3 swift; do
	client=$store
	[ $store = swift ] || client=aws
	for size in large small; do
		names+=("${store}_${size}_vitrine")
		if command -v $client >/dev/null; then names+=("${store}_${size}_gpg"); else echo "no $client: its row is left out" >&2; fi
		if command -v rclone >/dev/null; then names+=("${store}_${size}_rclone"); else echo "no rclone: its row is left out" >&2; fi
	done
done

cat "$log" small/* >/dev/null # so that no round reads them from a disk
declare -A best
for ((round = 0; round < rounds; round++)); do
	for name in "${names[@]}"; do
		start=${EPOCHREALTIME/./}
		"$name"
		took=$((${EPOCHREALTIME/./} - start))
		[ "${best[$name]:-$took}" -lt "$took" ] || best[$name]=$took
	done
done

echo "best of $rounds on $(nproc) cores; x is how many times faster vitrine is"
for name in "${names[@]}"; do
	awk -v name="$name" -v us="${best[$name]}" -v ours="${best[${name%_*}_vitrine]}" \
		'BEGIN { gsub("_", " ", name); printf "%-24s %8.2f s %6.1f x\n", name, us / 1e6, us / ours }'
done
echo "large: one log of $(stat -c %s "$log") bytes; small: twenty of 600 000"
for name in s3 s3_small swift swift_small; do echo "peak memory, $name: $(($(cat $name.kb) / 1024)) MiB"; done
