#!/usr/bin/env bash
# `./build.sh fuzz [TARGET [SECONDS]]`: fuzzes with libFuzzer, starting from the corpus; without a target each for a minute. What is found new and of
# interest is kept in out/fuzz/corpus/, a crash is left beside it and named. Replay one: out/sanitize/tests/fuzz/TARGET FILE.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. shared/build/packages.sh

need_packages clang "libclang-rt-$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\).*/\1/p' | head -n 1)-dev"
prefix=$(shared/build/deps.sh sanitize | tail -n 1)
make --silent -j"$(nproc)" -f shared/build/Makefile PREFIX="$prefix" VARIANT=fuzz OUT=out/fuzz fuzz-replay

found=0
for target in $(find out/fuzz/tests/fuzz -name '*_fuzz' -type f | sort); do
    name=${target#out/fuzz/tests/fuzz/}
    [ -z "${1:-}" ] || [ "$(basename "$name" _fuzz)" = "$1" ] || continue
    found=1
    kept=out/fuzz/corpus/${name%_fuzz}
    mkdir -p "$kept"
    echo "== ${name%_fuzz}"
    "$target" -max_total_time="${2:-60}" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$kept/crash-" -print_final_stats=1 \
        "$kept" "tests/fuzz/$(dirname "$name")/corpus/$(basename "$name" _fuzz)" 2>&1 | grep -E '^(==|stat::|SUMMARY|artifact|Test unit)|ERROR' ||
        true
    if ls "$kept"/crash-* >/dev/null 2>&1; then
        echo "crashes: $kept/crash-*" >&2
        exit 1
    fi
done
[ "$found" -eq 1 ] || { echo "no fuzz target '${1:-}'; there are: $(find tests/fuzz -name '*_fuzz.c' -printf '%f ' | sed 's/_fuzz.c//g')" >&2; exit 2; }
