#!/usr/bin/env bash
# `./build.sh bench`: measures what tests/bench/README.md promises and prints the table; "write" puts it into that file, and words such as
# "webhook" or "pages" measure only that part. Ends with 0 unless something could not be measured: a time is never a test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. shared/build/packages.sh

need_packages gcc libc6-dev python3 git webhook buildah docker.io docker-registry skopeo umoci debootstrap time
out=out/bench
mkdir -p "$out"
for tool in load nexthop coldstart; do
    gcc -std=gnu17 -O2 -Wall -Wextra -Wconversion -Werror -D_GNU_SOURCE "tests/bench/$tool.c" -o "$out/$tool"
done
export PUSHWRIGHT_BIN=${PUSHWRIGHT_BIN:-$PWD/out/musl/bin} PUSHWRIGHT_BENCH=$PWD/$out PYTHONDONTWRITEBYTECODE=1
exec python3 tests/bench/run.py "$@"
