#!/usr/bin/env bash
set -Eeo pipefail

if [ "$1" = 'store' ] && [ "$(id -u)" = '0' ]; then
	mkdir -p "$STORE_DATA"
	chown -R store "$STORE_DATA"
	chmod 700 "$STORE_DATA"
	exec setpriv --reuid=store --regid=store --init-groups "$BASH_SOURCE" "$@"
fi

if [ "$1" = 'store' ]; then
	for f in /docker-entrypoint-initdb.d/*; do
		echo "$0: running $f"
		. "$f"
	done
	set -- sh -c 'echo "store runs as $(id -un):$(id -gn), process $$, data $(stat -c %a:%U "$STORE_DATA"), seed $(cat "$STORE_DATA/seed")"'
fi

exec "$@"
