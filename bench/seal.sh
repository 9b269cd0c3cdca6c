#!/usr/bin/env bash
# Measures sealing and opening against zstd with age, and against gpg.
#
#   bench/seal.sh VITRINE [LOG]
#
# VITRINE is the built command. Without LOG, a log of 1 GiB is made from those
# in testdata/logs, each line with a time of its own, as a CI's console has it.
# Needs age, zstd, gpg, and GNU time for the peak of memory.
set -euo pipefail

vitrine=$(realpath "${1:?usage: bench/seal.sh VITRINE [LOG]}")
rounds=${ROUNDS:-3}
root=$(cd "$(dirname "$0")/.." && pwd)
for tool in age age-keygen zstd gpg /usr/bin/time; do
	command -v "$tool" >/dev/null || { echo "bench/seal.sh needs $tool" >&2; exit 1; }
done
dir=$(mktemp -d "${TMPDIR:-/tmp}/vitrine-bench.XXXXXX")
export GNUPGHOME=$dir/gnupg
trap 'gpgconf --kill all 2>/dev/null || true; rm -rf "$dir"' EXIT
cd "$dir"

if [ -n "${2:-}" ]; then
	log=$(cd "$OLDPWD" && realpath "$2")
else
	log=$dir/log
	"$root/bench/log.sh" "$log"
fi

age-keygen -o key 2>/dev/null
recipient=$(age-keygen -y key)
mkdir -m 700 gnupg
gpg --batch --quiet --passphrase '' --quick-generate-key bench default default never 2>/dev/null

names=(seal_vitrine seal_zstd_age seal_zstd1_age seal_gpg open_vitrine open_age_zstd open_gpg)
seal_vitrine() { /usr/bin/time -f %M -o seal.kb "$vitrine" seal -r "$recipient" <"$log" >vitrine.age; }
seal_zstd_age() { zstd -3 -T0 -qc "$log" | age -r "$recipient" >zstd.age; }
seal_zstd1_age() { zstd -1 -T0 -qc "$log" | age -r "$recipient" >zstd1.age; }
seal_gpg() { gpg --batch --quiet --trust-model always --yes -r bench -o gpg.gpg --encrypt "$log"; }
open_vitrine() { /usr/bin/time -f %M -o open.kb "$vitrine" open -i key <vitrine.age >/dev/null; }
open_age_zstd() { age -d -i key zstd.age | zstd -dqc >/dev/null; }
open_gpg() { gpg --batch --quiet --decrypt gpg.gpg >/dev/null; }

cat "$log" >/dev/null # so that no round reads it from a disk
declare -A best
for ((round = 0; round < rounds; round++)); do
	for name in "${names[@]}"; do
		start=${EPOCHREALTIME/./}
		"$name"
		took=$((${EPOCHREALTIME/./} - start))
		[ "${best[$name]:-$took}" -lt "$took" ] || best[$name]=$took
	done
done
age -d -i key vitrine.age | zstd -dqc | cmp - "$log"

seconds() { awk -v us="${best[$1]}" 'BEGIN { printf "%.2f", us / 1e6 }'; }
ratio() { awk -v a="${best[$1]}" -v b="${best[$2]}" 'BEGIN { printf "%.2f", a / b }'; }
row() { printf '%-22s %8s s %8s x %12s bytes\n' "$1" "$(seconds "$2")" "$3" "$4"; }
plain=$(stat -c %s "$log")
echo "best of $rounds on $(nproc) cores, a log of $plain bytes; x is how many times faster vitrine is"
row "vitrine seal" seal_vitrine 1.00 "$(stat -c %s vitrine.age)"
row "zstd -3 -T0 | age" seal_zstd_age "$(ratio seal_zstd_age seal_vitrine)" "$(stat -c %s zstd.age)"
row "zstd -1 -T0 | age" seal_zstd1_age "$(ratio seal_zstd1_age seal_vitrine)" "$(stat -c %s zstd1.age)"
row "gpg --encrypt" seal_gpg "$(ratio seal_gpg seal_vitrine)" "$(stat -c %s gpg.gpg)"
row "vitrine open" open_vitrine 1.00 "$plain"
row "age -d | zstd -d" open_age_zstd "$(ratio open_age_zstd open_vitrine)" "$plain"
row "gpg --decrypt" open_gpg "$(ratio open_gpg open_vitrine)" "$plain"
echo "peak memory: seal $(($(cat seal.kb) / 1024)) MiB, open $(($(cat open.kb) / 1024)) MiB"
