#!/usr/bin/env bash
# Replays a corpus through a fuzz target, as one TAP test: replay.sh TARGET CORPUS
if "$1" "$2"; then
    echo "ok 1 - $(basename "$1") survives its corpus"
else
    echo "not ok 1 - $(basename "$1") on $2"
    exit 1
fi
