#!/usr/bin/env python3
"""What every function does the same, whatever it is for: the shipped binaries as a platform sees them."""
import contextlib
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from pushwright import BIN, free_port, port_open, process, run_tests, temporary_directory
from raw_http import Connection

FUNCTIONS = ("webhook", "build", "trigger", "deploy")
KEY = "a-chain-key-that-is-long-enough"


def settings(directory, config=None, **more):
    """The least that a function starts with."""
    file = directory / "pushwright.json"
    file.write_text(config if isinstance(config, str) else json.dumps(config or {}))
    return {"PATH": os.environ["PATH"], "TMPDIR": str(directory), "PUSHWRIGHT_CONFIG": str(file), "PUSHWRIGHT_CHAIN_KEY": KEY,
            "PUSHWRIGHT_SINK": "http://127.0.0.1:1/", "PUSHWRIGHT_CACHE_DIR": str(directory / "cache"), **more}


@contextlib.contextmanager
def running(function, **more):
    """A function on a port; gives the port, and one of its own for metrics."""
    port, metrics = free_port(), free_port()
    with temporary_directory() as directory:
        environment = settings(directory, **{"PUSHWRIGHT_LISTEN": f"127.0.0.1:{port}", "PUSHWRIGHT_METRICS_LISTEN": f"127.0.0.1:{metrics}", **more})
        with process([BIN / function], env=environment, stdout=subprocess.DEVNULL, ready=lambda: port_open(port)):
            yield port, metrics


def every_mistake_of_the_configuration_is_told_at_start_as_lint_tells_it():
    mistakes = '{"x": 1,\n "sources": [' + ", ".join(["0"] * 20) + '],\n "builds": [{"nam": "a"}, {"name": "b", "image": "B@D"}]\n}\n'
    with temporary_directory() as directory:
        environment = settings(directory, mistakes, PUSHWRIGHT_LISTEN="127.0.0.1:0")
        lint = subprocess.run([BIN / "pushwright", "lint", directory / "pushwright.json"], capture_output=True, text=True, timeout=20).stdout.splitlines()
        assert len(lint) > 26, lint
        for function in FUNCTIONS:
            run = subprocess.run([BIN / function], env=environment, capture_output=True, text=True, timeout=20)
            said = [line.removeprefix(f"{function}: ") for line in run.stderr.splitlines()]
            logged = [json.loads(line) for line in run.stdout.splitlines()]
            assert run.returncode == 1 and said[:-1] == lint, (function, run.stderr)
            assert [line["message"] for line in logged] == said and {line["severity"] for line in logged} == {"CRITICAL"}, run.stdout
            assert f"has {len(lint)} mistakes, the first: line 1 column 2: x: unknown member" in said[-1], said[-1]


def head_is_answered_as_get_is_without_the_body():
    paths = ["/", "/healthz", "/readyz", "/livez", "/health/liveness", "/health/readiness", "/_/health", "/_/ready", "/metrics", "/hooks/x", "/builds/x", "/nothing", "/?a=b"]
    for function in FUNCTIONS:
        with running(function) as ports:
            for port in ports:
                connection = Connection(port)
                for path in paths:
                    got, told = connection.ask("GET", path), connection.ask("HEAD", path)
                    assert (told.status, told.body) == (got.status, b""), (function, path, told.status, got.status)
                    same = [name for name in ("content-type", "allow", "retry-after") if told.headers.get(name) != got.headers.get(name)]
                    assert not same, (function, path, same, told.headers, got.headers)
                    if path != "/metrics":  # which have counted meanwhile
                        assert told.headers.get("content-length") == got.headers.get("content-length"), (function, path, told.headers)
                assert connection.ask("HEAD", "/metrics").status == (200 if port == ports[1] else 405), function
                connection.close()
    with running("build", PUSHWRIGHT_METRICS_LISTEN="") as (port, _):
        connection = Connection(port)
        assert connection.ask("HEAD", "/metrics").status == connection.ask("GET", "/metrics").status == 200


if __name__ == "__main__":
    run_tests([every_mistake_of_the_configuration_is_told_at_start_as_lint_tells_it, head_is_answered_as_get_is_without_the_body])
