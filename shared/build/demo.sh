#!/usr/bin/env bash
# `./build.sh up`: the demonstration. A bare repository with a hook, a configuration with one build and one trigger, a base image made
# on this machine from a Debian package, and the chain in the foreground until Ctrl-C. What it makes stays in .pushwright/, so that
# the next `up` continues.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. shared/build/packages.sh
. shared/build/webbase.sh

root=$PWD
home=${PUSHWRIGHT_DEMO_DIR:-$root/.pushwright}
listen=${PUSHWRIGHT_LISTEN:-127.0.0.1:8787}
port=${PUSHWRIGHT_DEMO_PORT:-8080}
repository=$home/hello.git
url=http://127.0.0.1:$port/

# A path as a URL has it: blanks and the like percent-encoded, byte by byte.
in_url() {
    local LC_ALL=C i byte
    for ((i = 0; i < ${#1}; i++)); do
        byte=${1:i:1}
        case $byte in
            [A-Za-z0-9/._~-]) printf '%s' "$byte" ;;
            *) printf '%%%02X' $(($(printf '%d' "'$byte") & 255)) ;;
        esac
    done
}

in_json() {
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

clone_url=file://$(in_url "$repository")

write_configuration() {
    cat >"$home/pushwright.json" <<TEXT
{
  "sources": [
    { "name": "demo", "kind": "gitea", "secret": { "file": $(in_json "$home/secret") } }
  ],
  "registries": [
    { "host": "localhost", "layout": $(in_json "$home/images") }
  ],
  "builds": [
    { "name": "hello", "source": "demo", "repository": "demo/hello", "clone": "$clone_url",
      "on": { "branches": ["main"] }, "image": "localhost/hello", "tag": "{branch}-{time}-{sha:7}", "also": ["latest"] }
  ],
  "triggers": [
    { "name": "hello-web", "image": "localhost/hello", "when": { "glob": "main-*" },
      "deploy": [{ "cluster": "local", "workload": "hello", "servicePort": "127.0.0.1:$port" }] }
  ]
}
TEXT
}

make_secret() {
    [ -s "$home/secret" ] && return
    (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$home/secret")
}

# A git host of one directory: post-receive tells `webhook` of each push, signed as Gitea signs.
make_repository() {
    [ -d "$repository" ] || git init -q --bare -b main "$repository"
    cat >"$repository/hooks/post-receive" <<TEXT
#!/bin/sh
exec $(printf '%q' "$root/out/pushwright") send --push --to "http://$listen/hooks/demo" --repository demo/hello \\
    --clone "$clone_url" --secret-file $(printf '%q' "$home/secret") >/dev/null
TEXT
    chmod +x "$repository/hooks/post-receive"
}

first_commit() {
    local work=$home/first
    rm -rf "$work"
    git clone -q "$repository" "$work" 2>/dev/null
    cp templates/hello/* "$work/"
    git -C "$work" add -A
    git -C "$work" -c user.name=Pushwright -c user.email=hello@pushwright.dev commit -qm "hello world"
    git -C "$work" push -q origin HEAD:main
    rm -rf "$work"
}

# What was pushed while the chain was down is told now; what is built already is recognised and costs nothing.
push_or_tell_again() {
    local tip
    if tip=$(git -C "$repository" rev-parse -q --verify refs/heads/main); then
        (cd "$repository" && echo "0000000000000000000000000000000000000000 $tip refs/heads/main" | hooks/post-receive)
    else
        first_commit
    fi
}

wait_for() {
    local tries=$1
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] && [ -z "$ending" ] && kill -0 "$chain" 2>/dev/null || return 1
        sleep 0.02
    done
}

answers() {
    curl -fs -o /dev/null --max-time 2 "$1"
}

# Whoever never told git who they are could not commit.
say_identity() {
    git config user.email >/dev/null || printf '\n    git config user.name me && git config user.email me@localhost'
}

accepts() {
    (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null
}

# need_free_port HOST PORT VARIABLE EXAMPLE: whoever answers later must be who was started here. A moment's patience for one that is ending.
need_free_port() {
    local tries=20 host=${1#[}
    while accepts "${host%]}" "$2"; do
        tries=$((tries - 1))
        if [ "$tries" -eq 0 ]; then
            echo "port $2 is taken, by another 'up' perhaps; to use another: $3=$4 ./build.sh up" >&2
            return 1
        fi
        sleep 0.1
    done
}

say_how_to_push() {
    cat <<TEXT

  $url says:
$(curl -fs "$url" | sed 's/^/    /')

  Now push a change yourself:
    git clone $(printf '%q' "$repository") hello && cd hello$(say_identity)
    echo '<h1>hello again</h1>' > index.html
    git commit -am 'say it again' && git push
  and look at $url again. What happened: out/pushwright history --state $(printf '%q' "$home/state")

TEXT
}

need_free_port "${listen%:*}" "${listen##*:}" PUSHWRIGHT_LISTEN 127.0.0.1:8788
need_free_port 127.0.0.1 "$port" PUSHWRIGHT_DEMO_PORT 8081
mkdir -p "$home"
# Two that start at once would take each other's chain for their own.
exec 8>"$home/lock"
flock -n 8 || {
    echo "another 'up' runs in $home" >&2
    exit 1
}
make_web_base "$home/images/web"
make_secret
write_configuration
make_repository

out/pushwright up --config "$home/pushwright.json" --state "$home/state" --listen "$listen" 8>&- &
chain=$!
# Ctrl-C reaches the chain too, which ends in order, and this script after it. A signal ends the waiting, not the chain; a failure of
# this script ends the chain.
finish() {
    local failed=$? status
    [ "$failed" -eq 0 ] || [ -n "$ending" ] || kill -TERM "$chain" 2>/dev/null || true
    while
        interrupted='' status=0
        wait "$chain" || status=$?
        [ -n "$interrupted" ]
    do :; done
    [ "$failed" -eq 0 ] || [ -n "$ending" ] || status=$failed
    exit "$status"
}

ending=
trap finish EXIT
# The shell starts a background program deaf to INT, and until `up` listens to it itself a Ctrl-C would be lost on it: TERM is not.
trap 'ending=1 interrupted=1; kill -TERM "$chain" 2>/dev/null || true' INT TERM HUP

if wait_for 500 answers "http://$listen/healthz"; then
    # What could not be told is said by the hook and told at the next start; a Ctrl-C in the middle of it is no failure.
    [ -n "$ending" ] || push_or_tell_again || true
    if wait_for 1500 answers "$url"; then
        say_how_to_push
    elif [ -z "$ending" ]; then
        echo "  the page does not answer; out/pushwright history --state $(printf '%q' "$home/state") tells why" >&2
    fi
fi
