#!/usr/bin/env bash
# Runs test programs, one line each, and closes with the total. A program prints TAP; it fails when a line says "not ok", when it
# exits with anything but 0, or when it ran no test at all.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. shared/build/packages.sh

export CONFORMANCE_DATA=${CONFORMANCE_DATA:-$PWD/../shared/conformance}
export CMOCKA_MESSAGE_OUTPUT=TAP
export PUSHWRIGHT_BIN=$PWD/out/musl/bin
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
export PYTHONDONTWRITEBYTECODE=1

passed=0 failed=0 skipped=0
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# run_program NAME COMMAND...
run_program() {
    local name=$1 log ok bad skip status=0 began=$EPOCHREALTIME
    shift
    log=$logs/${name//\//_}
    timeout -k 10 "${PUSHWRIGHT_TEST_TIMEOUT:-900}" "$@" >"$log" 2>&1 </dev/null || status=$?
    skip=$(grep -cE '^(not )?ok .*# SKIP' "$log")
    bad=$(grep -E '^not ok' "$log" | grep -vc '# SKIP')
    ok=$(grep -E '^ok' "$log" | grep -vc '# SKIP')
    if [ "$status" -ne 0 ] || [ $((ok + bad + skip)) -eq 0 ]; then
        [ "$bad" -gt 0 ] || bad=1
    fi
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    printf '%-6s %-58s %4d passed%s%s %6.2f s\n' "$([ "$bad" -eq 0 ] && echo ok || echo FAILED)" "$name" "$ok" \
        "$([ "$bad" -eq 0 ] || echo ", $bad failed")" "$([ "$skip" -eq 0 ] || echo ", $skip skipped")" \
        "$(awk "BEGIN { print $EPOCHREALTIME - $began }")"
    grep -E '# SKIP' "$log" | sed -E 's/^(not )?ok [0-9]* *-? */         skipped: /; s/# SKIP//' | head -n 20
    grep -E '^[a-z/-]+: [0-9]+ passed, [0-9]+ failed' "$log" | sed 's/^/         /'
    [ "$bad" -eq 0 ] || { echo "  --- exit status $status, its output:"; tail -n 200 "$log" | sed 's/^/  | /'; }
}

make_variant() {
    local variant=$1 prefix log
    log=$logs/make.$variant
    prefix=$(shared/build/deps.sh "$variant" | tail -n 1)
    if make --no-print-directory -k -j"$(nproc)" -f shared/build/Makefile PREFIX="$prefix" VARIANT="$variant" \
        OUT="out/$variant" all >"$log" 2>&1; then
        passed=$((passed + 1))
        printf '%-6s %s\n' ok "build/$variant"
    else
        failed=$((failed + 1))
        printf '%-6s %s\n' FAILED "build/$variant"
        sed 's/^/  | /' "$log" | tail -n 60
    fi
}

suite_unit() {
    local variant program target
    for variant in musl sanitize; do
        # A *_peer_test needs a peer that an integration test starts, which runs it then.
        for program in $(find "out/$variant/tests/unit" -name '*_test' ! -name '*_peer_test' -type f 2>/dev/null | sort); do
            run_program "$variant/${program#"out/$variant/tests/"}" "$program"
        done
    done
    for target in $(find out/sanitize/tests/fuzz -name '*_fuzz' -type f 2>/dev/null | sort); do
        local name=${target#out/sanitize/tests/fuzz/}
        run_program "corpus/$name" tests/fuzz/replay.sh "$target" "tests/fuzz/$(dirname "$name")/corpus/$(basename "$name" _fuzz)"
    done
}

# Python programs of a folder, or the one that is named, with those whose names begin so.
suite_python() {
    local folder=$1 only=${2:-} program
    for program in tests/"$folder"/*_test.py; do
        [ -e "$program" ] || continue
        case $(basename "$program" _test.py) in
            ${only:-*} | ${only:-*}_*) ;;
            *) continue ;;
        esac
        run_program "$folder/$(basename "$program" _test.py)" python3 "$program"
    done
}

suite_lint() {
    run_program lint/format shared/build/lint.sh format --tap
    run_program lint/analyzer shared/build/lint.sh analyze --tap
    run_program lint/house shared/build/lint.sh house --tap
}

suite_conformance() {
    if [ ! -d "$CONFORMANCE_DATA" ]; then
        if [ -n "${PUSHWRIGHT_REQUIRE_CONFORMANCE:-}" ]; then
            failed=$((failed + 1))
            echo "FAILED conformance: the data at $CONFORMANCE_DATA are absent"
        else
            skipped=$((skipped + 1))
            echo "skipped conformance: no data at $CONFORMANCE_DATA (CONFORMANCE_DATA names the folder)"
        fi
        return
    fi
    suite_python conformance "$@"
}

prepare() {
    need_packages python3 git curl docker-registry skopeo umoci podman uidmap apache2-utils openssl busybox-static zstd debootstrap runc
    mkdir -p out
    make_variant musl
    [ "$failed" -gt 0 ] || ln -f out/musl/bin/* out/
}

case ${1:-all} in
    all)
        prepare
        make_variant sanitize
        suite_unit
        suite_lint
        suite_conformance
        suite_python integration
        suite_python e2e
        ;;
    unit)
        prepare
        make_variant sanitize
        suite_unit
        ;;
    conformance)
        prepare
        suite_conformance "${2:-}"
        ;;
    integration | e2e | long)
        prepare
        suite_python "$1" "${2:-}"
        ;;
    lint) suite_lint ;;
    peers)
        prepare
        if ! ls tests/peers/*_test.py >/dev/null 2>&1; then
            echo "no peer of this version has to be built: those that Debian packages are part of './build.sh test'"
            [ "$failed" -eq 0 ]
            exit
        fi
        need_packages qemu-system-x86
        # The first time they are built, in the tests that need them.
        export PUSHWRIGHT_TEST_TIMEOUT=${PUSHWRIGHT_TEST_TIMEOUT:-2700}
        suite_python peers "${2:-}"
        ;;
    *)
        echo "no suite '$1'; ./build.sh says which there are" >&2
        exit 2
        ;;
esac

echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
