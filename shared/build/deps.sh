#!/usr/bin/env bash
# Builds the dependencies named in deps.lock into a cache outside the clone.
#
#   shared/build/deps.sh musl       static libraries for the functions
#   shared/build/deps.sh sanitize   the same for glibc and the host's compiler,
#                                   for tests of our own code under sanitizers
#
# The last line of standard output is the prefix: a folder with musl/ or
# sanitize/ (include/ and lib/ in each) and toolchain/bin/musl-gcc. Progress
# goes to standard error. When everything is there this takes a moment; after
# an interruption it goes on with the dependency it was at.
#
# README.md beside this file describes the cache.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LOCK=$HERE/deps.lock
. "$HERE/packages.sh"
. "$HERE/fetch.sh"
. "$HERE/recipes.sh"

# In the order they are built; those on one line do not need each other, and
# are built side by side because their "configure" keeps only one core busy.
DEPENDENCIES=(
    "zlib"
    "libdeflate"
    "libisal"
    "libzstd"
    "bzip2 xz"
    "cjson"
    "llhttp"
    "pcre2"
    "libyaml"
    "mbedtls"
    "cmocka"
    "curl libgit2"
)

TOOLS=(gcc libc6-dev linux-libc-dev binutils make cmake ninja-build dpkg-dev patch
    ca-certificates curl xz-utils bzip2 util-linux debian-archive-keyring)
[ "$(uname -m)" != x86_64 ] || TOOLS+=(nasm)

STARTED=$SECONDS

say() {
    printf '[%4d s] %s\n' $((SECONDS - STARTED)) "$*" >&2
}

die() {
    printf 'deps.sh: %s\n' "$*" >&2
    exit 1
}

main() {
    [ $# -eq 1 ] || die "usage: deps.sh musl|sanitize"
    VARIANT=$1
    case $VARIANT in
        musl | sanitize) ;;
        *) die "no such variant: $VARIANT (musl or sanitize)" ;;
    esac
    command -v gcc >/dev/null && command -v flock >/dev/null || need_packages "${TOOLS[@]}"

    set_paths
    if [ ! -e "$PREFIX/.done/all" ]; then
        lock_cache
        [ -e "$PREFIX/.done/all" ] || build_all
    fi
    echo "$ROOT"
}

# Builders of the same cache take turns. What an interrupted run left running
# inherits the lock, and is waited for too.
lock_cache() {
    mkdir -p "$CACHE"
    exec 9>"$CACHE/lock"
    flock -n 9 && return
    say "waiting for another deps.sh"
    flock 9
}

set_paths() {
    local cache=${PUSHWRIGHT_CACHE:-${XDG_CACHE_HOME:-${HOME:?}/.cache}/pushwright}
    case $cache in
        *[[:space:]]*) die "the cache's path must not have spaces (set PUSHWRIGHT_CACHE): $cache" ;;
        /*) ;;
        *) die "the cache's path must be absolute: $cache" ;;
    esac
    MACHINE=$(uname -m)
    case $MACHINE in
        x86_64) ARCHITECTURE=amd64 ;;
        aarch64) ARCHITECTURE=arm64 ;;
        *) die "x86_64 and aarch64 are supported, this is $MACHINE" ;;
    esac
    JOBS=$(nproc)
    CACHE=$cache
    ROOT=$cache/$(cache_key)
    PREFIX=$ROOT/$VARIANT
    DOWNLOADS=$cache/downloads
    APT_STATE=$cache/apt
}

# A changed lock, recipe or compiler gives a new prefix; notes do not.
cache_key() {
    {
        gcc -dumpfullversion
        uname -m
        cat "$LOCK" "$HERE"/{deps,fetch,recipes}.sh "$HERE"/{libyaml,mbedtls}_*.[ch]
    } | sha256sum | cut -c1-16
}

build_all() {
    need_packages "${TOOLS[@]}"
    mkdir -p "$DOWNLOADS" "$PREFIX"/{include,lib,licenses,versions,.done}
    rm -f "$APT_STATE/updated"

    say "building $VARIANT in $ROOT"
    [ "$VARIANT" != musl ] || make_toolchain
    set_tools

    local line names
    for line in "${DEPENDENCIES[@]}"; do
        read -ra names <<<"$line"
        build_side_by_side "${names[@]}"
    done
    rm -rf "$ROOT/work.$VARIANT"
    touch "$PREFIX/.done/all"
    say "$VARIANT is complete"
}

set_tools() {
    local common="-fPIE -ffunction-sections -fdata-sections -fvisibility=hidden"
    case $VARIANT in
        musl)
            # No paths of this machine in what we deploy.
            common+=" -fno-asynchronous-unwind-tables -fstack-protector-strong -ffile-prefix-map=$ROOT/work.musl=."
            TINY="-Oz $common" SMALL="-Os $common" FAST="-O2 $common" LINK=-static
            CC=$ROOT/toolchain/bin/musl-gcc
            ;;
        sanitize)
            SMALL="-O1 -g -fno-omit-frame-pointer $common" FAST=$SMALL TINY=$SMALL LINK=
            CC=$(command -v gcc)
            ;;
    esac
    AR=$(command -v gcc-ar) RANLIB=$(command -v gcc-ranlib)
}

# musl's own compiler wrapper from Debian, moved to where it can be unpacked
# without being root. Debian 12's cannot link static-pie programs, so the
# lock's is used everywhere.
make_toolchain() {
    local final=$ROOT/toolchain partial=$ROOT/.partial.toolchain began=$SECONDS
    local triple=$MACHINE-linux-musl package tool
    local specs=lib/$triple/musl-gcc.specs
    [ ! -e "$PREFIX/.done/toolchain" ] || return 0

    rm -rf "$partial"
    mkdir -p "$partial/bin"
    for package in musl-dev musl-tools; do
        fetch "$package:$ARCHITECTURE"
        unpack "$FETCHED" "$partial/$package"
        cp -r "$partial/$package/usr/." "$partial/"
        rm -rf "${partial:?}/$package"
    done
    sed -i "s#/usr/lib/$triple#$final/lib/$triple#g; s#/usr/include/$triple#$final/include/$triple#g" "$partial/$specs"
    link_kernel_headers "$partial/include/$triple"

    rm -f "$partial"/bin/*
    printf '#!/bin/sh\nexec gcc "$@" -specs "%s"\n' "$final/$specs" >"$partial/bin/musl-gcc"
    chmod +x "$partial/bin/musl-gcc"
    for tool in ar ranlib nm; do ln -s "$(command -v "gcc-$tool")" "$partial/bin/musl-$tool"; done
    ln -s "$(command -v strip)" "$partial/bin/musl-strip"

    rm -rf "$final"
    mv "$partial" "$final"
    check_toolchain || die "the musl compiler does not make static-pie programs"
    touch "$PREFIX/.done/toolchain"
    say "toolchain ready ($((SECONDS - began)) s)"
}

# musl has none of its own, and Debian's for one machine are in a folder that
# also holds glibc's.
link_kernel_headers() {
    local name
    for name in linux asm-generic; do ln -sfn "/usr/include/$name" "$1/$name"; done
    ln -sfn "/usr/include/$MACHINE-linux-gnu/asm" "$1/asm"
}

# Debian 12's wrapper silently makes a dynamically linked program of the same
# command: look at the program, not at the exit code.
check_toolchain() {
    local check=$ROOT/toolchain/check
    printf '#include <stdio.h>\nint main(void) { return puts("ok") < 0; }\n' |
        "$ROOT/toolchain/bin/musl-gcc" -static-pie -fPIE -x c - -o "$check" || return 1
    [ "$("$check")" = ok ] || return 1
    ! readelf -lW "$check" | grep -q INTERP || return 1
    readelf -hW "$check" | grep -q 'Type: *DYN' || return 1
    rm "$check"
}

build_side_by_side() {
    local name names=() process processes=() status=0
    local -A fetched
    for name in "$@"; do
        [ -e "$PREFIX/.done/$name" ] || names+=("$name")
    done
    # One after the other: downloads share one package client.
    for name in ${names[@]+"${names[@]}"}; do
        fetch "$name"
        fetched[$name]=$FETCHED
    done
    for name in ${names[@]+"${names[@]}"}; do
        build_one "$name" "${fetched[$name]}" &
        processes+=($!)
    done
    for process in ${processes[@]+"${processes[@]}"}; do wait "$process" || status=1; done
    [ "$status" -eq 0 ] || exit 1
}

# build_one NAME DOWNLOAD
build_one() {
    local name=$1 download=$2 began=$SECONDS
    local log=$ROOT/$VARIANT.$name.log
    WORK=$ROOT/work.$VARIANT/$name STAGE=$WORK/stage
    rm -rf "$WORK"
    mkdir -p "$STAGE"/{include,lib}

    # Not in an "if" or "||": bash would ignore set -e inside the recipe.
    set +e
    (
        set -e
        unpack "$download" "$WORK/source"
        cd "$WORK/source"
        "build_$name"
        keep_licenses "$name"
    ) >"$log" 2>&1
    local status=$?
    set -e
    if [ "$status" -ne 0 ]; then
        tail -n 40 "$log" >&2
        die "building $name failed; the whole log is $log"
    fi

    cp -r "$STAGE/." "$PREFIX/"
    cp "$download/taken" "$PREFIX/versions/$name"
    touch "$PREFIX/.done/$name"
    rm -rf "$WORK"
    say "built $name ($((SECONDS - began)) s)"
}

# Whoever ships a static program ships these texts with it.
keep_licenses() {
    local name=$1 text
    mkdir -p "$STAGE/licenses/$name"
    while read -r text; do
        cp "$text" "$STAGE/licenses/$name/"
    done < <(find . -maxdepth 5 -type f -not -path "./tests/*" \( -name 'COPYING*' -o -name 'LICEN[CS]E*' -o -name copyright \))
}

main "$@"
