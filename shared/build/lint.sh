#!/usr/bin/env bash
# `./build.sh lint [format|analyze|house|fix]`: formatting (clang-format 19, from PyPI so that every Debian has the same), gcc's
# static analyzer, and the rules of the house that a machine can see. "fix" formats in place. With --tap, one TAP line each.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. shared/build/packages.sh

CLANG_FORMAT_VERSION=19.1.7
UNAVAILABLE=77
cache=${PUSHWRIGHT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pushwright}

sources() {
    git ls-files -co --exclude-standard '*.c' '*.h'
}

clang_format() {
    local venv=$cache/clang-format-$CLANG_FORMAT_VERSION
    if [ ! -x "$venv/bin/clang-format" ]; then
        need_packages python3-venv >&2 || true
        rm -rf "$venv"
        mkdir -p "$cache"
        if ! python3 -m venv "$venv" || ! "$venv/bin/pip" -q install "clang-format==$CLANG_FORMAT_VERSION" >&2; then
            echo "lint: clang-format $CLANG_FORMAT_VERSION could not be had from PyPI; the other checks: ./build.sh lint house, lint analyze" >&2
            return "$UNAVAILABLE"
        fi
    fi
    "$venv/bin/clang-format" "$@"
}

lint_format() {
    local files
    mapfile -t files < <(sources)
    clang_format --dry-run --Werror "${files[@]}"
}

lint_fix() {
    local files
    mapfile -t files < <(sources)
    clang_format -i "${files[@]}"
}

# gcc's analyzer over everything we ship; the tests are not analysed. Two of its checks are left to others, because gcc 12 loses track of a
# pointer that is stored in an array's element (leaks: LeakSanitizer runs under every test) and of one that cleanup attributes
# reach through a void * (uninitialised values: -Wall, and UndefinedBehaviorSanitizer). gcc 14 has three more that cannot know what we do:
# descriptors that a program is to inherit are no leak, error_set(), in another file, always returns false, and what reallocarray() has
# grown is not of its old size.
lint_analyze() {
    local prefix trusted=(malloc-leak use-of-uninitialized-value)
    [ "$(gcc -dumpversion)" -lt 13 ] || trusted+=(fd-leak null-dereference out-of-bounds)
    prefix=$(shared/build/deps.sh sanitize | tail -n 1)
    git ls-files -co --exclude-standard 'functions/*.c' 'runtime/*.c' 'shared/*.c' ':!shared/build/*' |
        xargs -P "$(nproc)" -I{} sh -c '
            define=
            case $1 in functions/*) define=-DFN_JSON=\"$(dirname "$1")/fn.json\" ;; esac
            gcc -std=gnu17 -D_GNU_SOURCE -I. -isystem "$2/sanitize/include" $define -O1 -fanalyzer $3 -Werror -Wall -Wextra \
                -c "$1" -o /dev/null' - {} "$prefix" "$(printf -- '-Wno-analyzer-%s ' "${trusted[@]}")"
}

# What the arrows forbid: shared that knows runtime, runtime that knows a function, a library touched in two modules.
lint_house() {
    local bad=0
    one_module() { # HEADER MODULE
        if git grep -nE "#include <$1" -- 'functions/*.[ch]' 'runtime/*.[ch]' 'shared/*.[ch]' ':!shared/build' | grep -v "^$2/"; then
            echo "<$1> belongs to $2 alone"
            bad=1
        fi
    }
    if git grep -nE '#include "(runtime|functions)/' -- 'shared/*.[ch]' || git grep -nE '#include "functions/' -- 'runtime/*.[ch]'; then
        echo "arrows point from functions to runtime to shared"
        bad=1
    fi
    one_module 'curl/' shared/http
    one_module 'cjson/' shared/base
    one_module 'mbedtls/' shared/base
    one_module 'git2' shared/git
    one_module 'llhttp' runtime
    one_module 'pcre2' shared/policy
    one_module '(zlib|libdeflate|zstd)' shared/oci
    one_module 'yaml' shared/kube
    # Of two functions of one name the linker takes either, without a word, where both archives are at hand.
    if git grep -hoE '^[a-z][a-z_0-9 *]*[ *][a-z_0-9]+\(' -- 'functions/*.h' 'runtime/*.h' 'shared/*.h' | grep -vE '^(static|typedef) ' |
        sed -E 's/.*[ *]([a-z_0-9]+)\($/\1/' | sort | uniq -d | grep .; then
        echo "each of these functions is declared in two headers"
        bad=1
    fi
    if git grep -nE '\bgoto [a-z_]+;|\b(TODO|FIXME|XXX)\b' -- '*.c' '*.h'; then
        bad=1
    fi
    return $bad
}

what=${1:-all}
tap=${2:-}
case $what in
    all)
        lint_format && echo "format: fine"
        lint_house && echo "house: fine"
        lint_analyze && echo "analyze: fine"
        ;;
    format | analyze | house | fix)
        status=0
        "lint_$what" || status=$?
        if [ "$status" -eq 0 ]; then
            [ -z "$tap" ] || echo "ok 1 - $what"
        elif [ "$status" -eq "$UNAVAILABLE" ] && [ -n "$tap" ] && [ -z "${PUSHWRIGHT_REQUIRE_CONFORMANCE:-}" ]; then
            # Who has no way to PyPI has done nothing wrong; where it is decided what lands, it must be there.
            echo "ok 1 - $what # SKIP clang-format $CLANG_FORMAT_VERSION could not be had from PyPI"
        else
            [ -z "$tap" ] || echo "not ok 1 - $what (./build.sh lint $what)"
            exit 1
        fi
        ;;
    *)
        echo "lint.sh: no such check: $what" >&2
        exit 2
        ;;
esac
