#!/usr/bin/env bash
# `obtain.sh cosign|pyspdxtools|npm-policies`: a program that Debian 12 does not package and that tests of this folder judge by. Had once from where its authors
# publish it (Go's module proxy, PyPI, npm), at a pinned version, and kept in the cache outside the clone; prints its path. Exit 77, with the reason,
# where it cannot be had.
set -euo pipefail

UNAVAILABLE=77
COSIGN_VERSION=v3.1.3
SPDX_VERSION=0.8.5
SEMVER_VERSION=7.8.6
MINIMATCH_VERSION=9.0.5
cache=${PUSHWRIGHT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pushwright}

unavailable() {
    echo "$1" >&2
    exit "$UNAVAILABLE"
}

# Some minutes and 3 GB for a while; without a Go that is new enough to read the module, or to fetch one that is, it says so.
obtain_cosign() {
    local place=$cache/cosign-$COSIGN_VERSION work
    if [ ! -x "$place/cosign" ]; then
        command -v go >/dev/null || unavailable "cosign is built with Go, which is not installed"
        mkdir -p "$cache"
        work=$(mktemp -d "$cache/cosign.XXXXXX")
        # shellcheck disable=SC2064
        trap "rm -rf '$work'" EXIT
        GOBIN=$work/bin GOPATH=$work/go GOMODCACHE=${GOMODCACHE:-$work/modules} GOCACHE=${GOCACHE:-$work/objects} CGO_ENABLED=0 \
            GOFLAGS='-modcacherw -buildvcs=false' nice go install -ldflags='-s -w' \
            "github.com/sigstore/cosign/v3/cmd/cosign@$COSIGN_VERSION" >"$work/log" 2>&1 ||
            unavailable "cosign $COSIGN_VERSION does not build here: $(tail -n 1 "$work/log")"
        mkdir -p "$place"
        mv "$work/bin/cosign" "$place/cosign"
    fi
    echo "$place/cosign"
}

obtain_pyspdxtools() {
    local place=$cache/spdx-tools-$SPDX_VERSION
    if [ ! -x "$place/bin/pyspdxtools" ]; then
        rm -rf "$place"
        mkdir -p "$cache"
        { python3 -m venv "$place" && "$place/bin/pip" -q install "spdx-tools==$SPDX_VERSION"; } >&2 ||
            { rm -rf "$place" && unavailable "spdx-tools $SPDX_VERSION could not be had from PyPI"; }
    fi
    echo "$place/bin/pyspdxtools"
}

# The folder in whose node_modules they are.
obtain_npm_policies() {
    local place=$cache/npm-semver-$SEMVER_VERSION-minimatch-$MINIMATCH_VERSION
    if [ ! -d "$place/node_modules/semver" ]; then
        command -v npm >/dev/null || unavailable "npm's packages are fetched with npm, which is not installed"
        rm -rf "$place"
        mkdir -p "$place"
        npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$place" "semver@$SEMVER_VERSION" \
            "minimatch@$MINIMATCH_VERSION" >&2 ||
            { rm -rf "$place" && unavailable "npm's semver $SEMVER_VERSION could not be had"; }
    fi
    echo "$place"
}

case ${1:-} in
    cosign) obtain_cosign ;;
    pyspdxtools) obtain_pyspdxtools ;;
    npm-policies) obtain_npm_policies ;;
    *)
        echo "obtain.sh cosign|pyspdxtools|npm-policies" >&2
        exit 2
        ;;
esac
