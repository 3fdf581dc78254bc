#!/usr/bin/env bash
# Runs test programs, several at a time, one line each in their order, and closes with the total. A program prints TAP; it
# fails when a line says "not ok", when it exits with anything but 0, or when it ran no test at all.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. shared/build/packages.sh

export CONFORMANCE_DATA=${CONFORMANCE_DATA:-$PWD/../shared/conformance}
export CMOCKA_MESSAGE_OUTPUT=TAP
export PUSHWRIGHT_BIN=$PWD/out/musl/bin
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
export PYTHONDONTWRITEBYTECODE=1

passed=0 failed=0 skipped=0
# What is to run: names, and commands in the shell's own spelling; and by the process that runs it, the number of what runs.
names=() commands=() workers=()
# Two for each core: a program waits for its peers, or for a pause to end, about half of its time.
at_a_time=$(($(nproc) * 2))
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
trap 'stop 130' INT
trap 'stop 143' TERM

# What computes longest begins first, so that nothing is waited for by itself in the end.
long=(integration/dockerfiles integration/cache)
# What cannot stand a neighbour, and why: it runs when all others are done.
declare -A alone=(
    [e2e/up]="holds the time from a push to its page against what is promised"
)

# Whoever gives up leaves nothing running: a program that is told to end ends its peers.
stop() {
    trap '' INT TERM
    kill "${!workers[@]}" 2>/dev/null
    wait
    exit "$1"
}

# program NAME COMMAND...: for run_all
program() {
    names+=("$1")
    shift
    commands+=("$(printf '%q ' "$@")")
}

run_all() {
    local number together=() lonely=()
    for number in "${!names[@]}"; do
        if [ -n "${alone[${names[number]}]:-}" ]; then lonely+=("$number"); else together+=("$number"); fi
    done
    run_side_by_side "$at_a_time" "${together[@]}"
    run_side_by_side 1 "${lonely[@]}"
}

# in_order_of_start NUMBER...
in_order_of_start() {
    local name number
    for name in "${long[@]}"; do
        for number; do [ "${names[number]}" != "$name" ] || echo "$number"; done
    done
    for number; do [[ " ${long[*]} " == *" ${names[number]} "* ]] || echo "$number"; done
}

# run_side_by_side HOW-MANY NUMBER...: what comes out is shown in the order of the numbers
run_side_by_side() {
    local most=$1 waiting shown=0 ended
    shift
    local numbers=("$@")
    mapfile -t waiting < <(in_order_of_start "$@")
    while [ "$shown" -lt ${#numbers[@]} ]; do
        while [ ${#workers[@]} -lt "$most" ] && [ ${#waiting[@]} -gt 0 ]; do
            run_program "${waiting[0]}" &
            workers[$!]=${waiting[0]}
            waiting=("${waiting[@]:1}")
        done
        wait -n -p ended
        [ -e "$logs/${workers[ended]}.counts" ] || run_lost "${workers[ended]}"
        unset "workers[$ended]"
        while [ "$shown" -lt ${#numbers[@]} ] && [ -e "$logs/${numbers[shown]}.counts" ]; do
            show "${numbers[shown]}"
            shown=$((shown + 1))
        done
    done
}

show() {
    local ok bad skip
    cat "$logs/$1.report"
    read -r ok bad skip <"$logs/$1.counts"
    passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
    rm -f "$logs/$1.report" "$logs/$1.log"
}

# run_program NUMBER: what is to be shown and what is to be counted, the latter when all is done
run_program() {
    local name=${names[$1]} log=$logs/$1.log counts=$logs/$1.counts ok bad skip status=0 began=$EPOCHREALTIME
    trap 'kill $!; wait $!; exit 1' TERM
    # A shell without a terminal keeps interrupts from what it runs beside itself, some of which tests just them.
    eval "exec timeout -k 60 ${PUSHWRIGHT_TEST_TIMEOUT:-1800} env --default-signal=INT,QUIT ${commands[$1]}" >"$log" 2>&1 </dev/null &
    { wait $! || status=$?; } 2>/dev/null # where the shell would tell of a signal
    skip=$(grep -cE '^(not )?ok .*# SKIP' "$log")
    bad=$(grep -E '^not ok' "$log" | grep -vc '# SKIP')
    ok=$(grep -E '^ok' "$log" | grep -vc '# SKIP')
    if [ "$status" -ne 0 ] || [ $((ok + bad + skip)) -eq 0 ]; then
        [ "$bad" -gt 0 ] || bad=1
    fi
    {
        printf '%-6s %-58s %4d passed%s%s %6.2f s\n' "$([ "$bad" -eq 0 ] && echo ok || echo FAILED)" "$name" "$ok" \
            "$([ "$bad" -eq 0 ] || echo ", $bad failed")" "$([ "$skip" -eq 0 ] || echo ", $skip skipped")" \
            "$(awk "BEGIN { print $EPOCHREALTIME - $began }")"
        grep -E '# SKIP' "$log" | sed -E 's/^(not )?ok [0-9]* *-? */         skipped: /; s/# SKIP//' | head -n 20
        grep -E '^[a-z/-]+: [0-9]+ passed, [0-9]+ failed' "$log" | sed 's/^/         /'
        [ "$bad" -eq 0 ] || { echo "  --- exit status $status, its output:"; tail -n 200 "$log" | sed 's/^/  | /'; }
    } >"$logs/$1.report"
    echo "$ok $bad $skip" >"$counts.new" && mv "$counts.new" "$counts"
}

# run_lost NUMBER: whoever ran it was killed
run_lost() {
    echo "FAILED ${names[$1]}: the process that ran it is gone" >"$logs/$1.report"
    echo "0 1 0" >"$logs/$1.counts"
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
            program "$variant/${program#"out/$variant/tests/"}" "$program"
        done
    done
    for target in $(find out/sanitize/tests/fuzz -name '*_fuzz' -type f 2>/dev/null | sort); do
        local name=${target#out/sanitize/tests/fuzz/}
        program "corpus/$name" tests/fuzz/replay.sh "$target" "tests/fuzz/$(dirname "$name")/corpus/$(basename "$name" _fuzz)"
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
        program "$folder/$(basename "$program" _test.py)" python3 "$program"
    done
}

suite_lint() {
    program lint/format shared/build/lint.sh format --tap
    program lint/analyzer shared/build/lint.sh analyze --tap
    program lint/house shared/build/lint.sh house --tap
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
    need_packages python3 git curl docker-registry skopeo umoci podman uidmap apache2-utils openssl busybox-static zstd debootstrap runc rpm db-util openssh-client
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
    integration | e2e)
        prepare
        suite_python "$1" "${2:-}"
        ;;
    long)
        prepare
        at_a_time=1
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
        at_a_time=1
        suite_python peers "${2:-}"
        ;;
    *)
        echo "no suite '$1'; ./build.sh says which there are" >&2
        exit 2
        ;;
esac

run_all
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
