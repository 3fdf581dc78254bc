#!/usr/bin/env bash
# The one door: builds, runs and tests Pushwright. `./build.sh` alone says what it can do.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
. shared/build/packages.sh

# Prints the prefix of the dependencies for a variant, building them when they are not there yet.
dependencies() {
    shared/build/deps.sh "$1" | tail -n 1
}

# compile VARIANT TARGET...: into out/VARIANT
compile() {
    local variant=$1 prefix began
    shift
    prefix=$(dependencies "$variant")
    began=$SECONDS
    make --silent -j"$(nproc)" -f shared/build/Makefile PREFIX="$prefix" VARIANT="$variant" OUT="out/$variant" "$@"
    echo "compiled for $variant ($((SECONDS - began)) s)"
}

need_writable_clone() {
    [ -w . ] && return
    echo "build.sh: $PWD cannot be written to, and results go to out/ in it; clone the project to a folder of your own" >&2
    exit 1
}

# The binaries people use stand in out/ itself.
word_build() {
    compile musl functions cli
    ln -f out/musl/bin/* out/
    ls -l out/musl/bin | awk 'NR > 1 { printf "out/%-12s %8d bytes\n", $9, $5 }'
}

word_up() {
    need_packages git curl
    word_build
    shared/build/demo.sh "$@"
}

word_test() {
    tests/run.sh "$@"
}

word_bench() {
    word_build
    tests/bench/run.sh "$@"
}

word_lint() {
    shared/build/lint.sh "$@"
}

word_fuzz() {
    tests/fuzz/run.sh "$@"
}

word_clean() {
    rm -rf out
}

usage() {
    cat <<'TEXT'
Usage: ./build.sh WORD

  up       build everything, run the chain on this machine with a demonstration repository, push it, show the page
  test     all tests; "test unit|conformance|integration|e2e|lint" only those, "test conformance SUITE" one suite,
           "test peers" those against peers that must be built, "test long" the runs of an hour and more
  build    the functions and the command line into out/
  bench    measure; the table goes to tests/bench/README.md
  lint     formatting, warnings, static analysis
  fuzz     fuzz the parsers: "fuzz TARGET SECONDS"
  clean    remove what was built (dependencies stay in the cache)

The first run fetches and builds the pinned dependencies: about two minutes on two cores. See README.md.
TEXT
}

word=${1:-help}
[ $# -eq 0 ] || shift
case $word in
    up | test | build | bench | lint | fuzz | clean)
        need_writable_clone
        "word_$word" "$@"
        ;;
    help | --help | -h) usage ;;
    *)
        printf "build.sh: no such word: '%s'\n\n" "$word" >&2
        usage >&2
        exit 2
        ;;
esac
