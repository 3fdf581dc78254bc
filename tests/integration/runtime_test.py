#!/usr/bin/env python3
"""What every function does the same, whatever it is for: the shipped binaries as a platform sees them."""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from deliveries import Sink
from pushwright import BIN, Chain, free_port, port_open, process, run_tests, signed_push, temporary_directory, wait_until
from raw_http import Connection

FUNCTIONS = ("webhook", "build", "trigger", "deploy")
KEY = "a-chain-key-that-is-long-enough"


def settings(directory, config=None, **more):
    """The least that a function starts with."""
    file = directory / "pushwright.json"
    file.write_text(config if isinstance(config, str) else json.dumps(config or {}))
    return {"PATH": os.environ["PATH"], "TMPDIR": str(directory), "PUSHWRIGHT_CONFIG": str(file), "PUSHWRIGHT_CHAIN_KEY": KEY,
            "PUSHWRIGHT_CACHE_DIR": str(directory / "cache"), **{"PUSHWRIGHT_SINK": "http://127.0.0.1:1/", **more}}


@contextlib.contextmanager
def running(function, config=None, **more):
    """A function on a port; gives the port, and one of its own for metrics."""
    port, metrics = free_port(), free_port()
    with temporary_directory() as directory:
        environment = settings(directory, config, **{"PUSHWRIGHT_LISTEN": f"127.0.0.1:{port}", "PUSHWRIGHT_METRICS_LISTEN": f"127.0.0.1:{metrics}", **more})
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


def a_log_that_nobody_reads_keeps_no_request_waiting():
    config = {"sources": [{"name": "gitea", "kind": "gitea", "secret": {"env": "HOOK"}}]}
    body, headers = signed_push("secret", "acme/web", "refs/heads/main", "1" * 40, "2" * 40)
    sink, port = Sink(), free_port()
    with temporary_directory() as directory:
        environment = settings(directory, config, PUSHWRIGHT_LISTEN=f"127.0.0.1:{port}", PUSHWRIGHT_SINK=sink.url, HOOK="secret")
        with process([BIN / "webhook"], env=environment, stdout=subprocess.PIPE, ready=lambda: port_open(port)) as child:
            connection = Connection(port)
            for _ in range(600):  # several times what a pipe holds
                assert connection.ask("POST", "/hooks/gitea", body, headers).status == 200
            os.set_blocking(child.stdout.fileno(), False)
            read = child.stdout.read()
            assert len(read) > 30000, len(read)
            connection.ask("POST", "/hooks/gitea", body, headers)
            child.terminate()
            assert child.wait(30) == 0
            os.set_blocking(child.stdout.fileno(), True)
            lines = [json.loads(line) for line in (read + child.stdout.read()).decode().splitlines()]
            left_out = [int(line["message"].split()[0]) for line in lines if "lines were left out here" in line["message"]]
            assert len(left_out) == 1 and left_out[0] > 0, left_out
            assert len([line for line in lines if line.get("outcome") == "done" or "ignored" in line["message"]]) + left_out[0] == 601, (len(lines), left_out)


# --- one event -----------------------------------------------------------------------------------------------------------------

def queued(build, ref="refs/heads/main", **custom):
    kind = "dev.cdevents.build.queued.0.3.0"
    return {"specversion": "1.0", "id": "1", "source": "/test", "type": kind, "datacontenttype": "application/json",
            "data": {"context": {"id": "1"}, "subject": {"id": "s", "content": {}},
                     "customData": {"build": build, "ref": ref, "sequence": "1", "time": "2026-01-01T00:00:00Z", **custom}}}


def an_event_comes_as_a_file_a_job_s_directory_or_standard_input():
    config = {"builds": [{"name": "off", "enabled": False, "inline": "FROM scratch", "image": "r.invalid/b"}]}
    text = json.dumps(queued("off", "inline"))
    with temporary_directory() as directory:
        (directory / "event").write_text(text)
        (directory / "empty").mkdir()
        environment = settings(directory, config, PUSHWRIGHT_TRUST_PLATFORM="1", PUSHWRIGHT_SINK="")
        for arguments, more, given in ((["--event", directory / "event"], {}, None), (["--event", "-"], {}, text), ([], {"K_EVENT_PATH": str(directory)}, None),
                                       ([], {"SCF_CUSTOM_CONTAINER_EVENT": text}, None), ([], {"CLOUD_RUN_JOB": "j", "PUSHWRIGHT_EVENT": text}, None)):
            run = subprocess.run([BIN / "build", *arguments], env={**environment, **more}, capture_output=True, text=True, timeout=20, input=given)
            events = [json.loads(line) for line in run.stdout.splitlines()]
            assert run.returncode == 0 and [event["type"] for event in events] == ["dev.cdeventsx.pushwright-decision.skipped.0.1.0"], (arguments, run)
        for arguments, more, said in ((["--event", directory / "none"], {}, "No such file"), ([], {"K_EVENT_PATH": str(directory / "empty")}, "No such file"),
                                      (["--event", "-"], {}, "the text ends")):
            run = subprocess.run([BIN / "build", *arguments], env={**environment, **more}, capture_output=True, text=True, timeout=20, input="")
            assert run.returncode == 42 and said in run.stderr and not run.stdout, (arguments, run)


def the_exit_code_says_who_tries_again():
    def rule(name, text, **more):
        return {"name": name, "inline": text, "image": f"oci:{directory}/{name}", "platforms": ["linux/amd64"], **more}

    with temporary_directory() as directory:
        config = {"builds": [rule("good", "FROM scratch\nLABEL a=b\n"), rule("broken", "FROM scratch\nCOPY missing /\n"), rule("nonsense", "FORM scratch\n"),
                             rule("unreachable", "FROM 127.0.0.1:1/base\n"), rule("off", "FROM scratch\n", enabled=False)]}
        for event, code, outcome in ((queued("good", "inline"), 0, "success"), (queued("broken", "inline"), 0, "failure"),
                                     (queued("nonsense", "inline"), 0, "failure"), (queued("off", "inline"), 0, None),
                                     (queued("unreachable", "inline"), 1, None), (queued("unknown", "inline"), 1, None),
                                     (queued("good", "inline", sequence="soon"), 42, None), ({**queued("good"), "type": "dev.cdevents.change.merged.0.3.0"}, 0, None),
                                     ({"specversion": "0.3"}, 42, None)):
            environment = settings(directory, config, PUSHWRIGHT_TRUST_PLATFORM="1", PUSHWRIGHT_SINK="")
            run = subprocess.run([BIN / "build", "--event", "-"], env=environment, capture_output=True, text=True, timeout=60, input=json.dumps(event))
            ends = [told["data"]["customData"]["outcome"] for told in map(json.loads, run.stdout.splitlines()) if "build.finished" in told["type"]]
            assert run.returncode == code and ends == ([outcome] if outcome else []), (event, run.returncode, run.stdout, run.stderr)
        sink = Sink()
        for answers, code in (([], 0), ([400] * 99, 1)):  # which says nothing about the event that came in
            sink.answers[:] = answers
            environment = settings(directory, config, PUSHWRIGHT_TRUST_PLATFORM="1", PUSHWRIGHT_SINK=sink.url)
            run = subprocess.run([BIN / "build", "--event", "-"], env=environment, capture_output=True, text=True, timeout=60, input=json.dumps(queued("off", "inline")))
            assert run.returncode == code, (answers, run.returncode, run.stdout)
        unsigned = subprocess.run([BIN / "build", "--event", "-"], env=settings(directory, config), capture_output=True, text=True, timeout=20,
                                  input=json.dumps(queued("good", "inline")))
        assert unsigned.returncode == 42 and "not signed" in unsigned.stdout + unsigned.stderr, unsigned


# --- platforms -----------------------------------------------------------------------------------------------------------------

@contextlib.contextmanager
def fn(function, config, **more):
    """As fn-agent starts it; gives a connection, and the sink that its events go to."""
    sink = Sink()
    with temporary_directory() as directory:
        path = directory / "lsnr.sock"
        environment = settings(directory, config, FN_FORMAT="http-stream", FN_LISTENER=f"unix:{path}", PUSHWRIGHT_SINK=sink.url, **more)
        with process([BIN / function], env=environment, stdout=subprocess.DEVNULL, ready=path.exists) as child:
            assert path.stat().st_mode & 0o777 == 0o666, "fn-agent is another user"
            connection = Connection(path)  # at once: the file's name is a promise
            yield connection, sink
            connection.close()
            child.terminate()
            assert child.wait(20) == 0 and not list(directory.glob("*.sock")), "the socket's file is cleared away"


def fn_calls_over_its_socket_with_the_request_in_headers():
    secret = "the hook's secret"
    config = {"sources": [{"name": "gitea", "kind": "gitea", "secret": {"env": "HOOK"}}], "api": {"token": {"env": "HOOK"}},
              "builds": [{"name": "web", "source": "gitea", "repository": "acme/web", "clone": "https://git.invalid/web.git", "image": "r.invalid/web"}]}
    body, headers = signed_push(secret, "acme/web", "refs/heads/main", "1" * 40, "2" * 40)

    def call(path, method="POST", data=body, more=headers, deadline=60):
        outer = {"Fn-Call-Id": "01", "Fn-Intent": "httprequest", "Content-Type": "application/json", "Fn-Http-Method": method,
                 "Fn-Deadline": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + deadline)), "Fn-Http-Request-Url": f"http://gateway.invalid/t/app{path}"}
        return connection.ask("POST", "/call", data, {**outer, **{f"Fn-Http-H-{name}": value for name, value in more.items()}})

    with fn("webhook", config, HOOK=secret) as (connection, sink):
        told = call("/hooks/gitea")
        assert (told.status, told.headers["fn-http-status"]) == (200, "202") and '"builds":1' in told.text, (told.headers, told.text)
        assert [event["type"] for event in sink.take()][-1] == "dev.cdevents.build.queued.0.3.0"
        told = call("/hooks/gitea", more={**headers, "X-Gitea-Signature": "0" * 64})
        assert (told.status, told.headers["fn-http-status"]) == (200, "403") and "Signature" in told.text, told.text
        told = call("/hooks/gitea", more={name: value for name, value in headers.items() if name != "X-Gitea-Signature"})
        assert told.headers["fn-http-status"] == "403", "headers of Fn's own request are not the sender's"
        told = call("/builds/web?x=y", data=b'{"ref": "main"}', more={"Authorization": f"Bearer {secret}"})
        assert told.headers["fn-http-status"] == "202" and len(sink.take()) == 1, told.text
        told = call("/hooks/gitea", method="GET", data=b"", more={})
        assert (told.headers["fn-http-status"], told.headers["fn-http-h-allow"]) == ("405", "POST") and "allow" not in told.headers, told.headers
        told = connection.ask("POST", "/call", b"", {"Fn-Http-Method": "POST", "Fn-Http-Request-Url": "no URL"})
        assert told.headers["fn-http-status"] == "400" and "Fn-Http-Request-Url" in told.text, told.text
        sink.answers[:] = [(503, 2)]
        told = call("/hooks/gitea", deadline=-1)
        assert (told.status, told.headers["fn-http-status"]) == (200, "503") and not sink.take(), "the deadline is Fn's"
        assert told.headers["fn-http-h-retry-after"], told.headers


def fn_invokes_with_events_and_a_failure_is_one():
    event = queued("off", "inline")
    config = {"builds": [{"name": "off", "enabled": False, "inline": "FROM scratch", "image": "r.invalid/b"}]}
    with fn("build", config, PUSHWRIGHT_TRUST_PLATFORM="1") as (connection, sink):
        kind = {"Content-Type": "application/cloudevents+json", "Fn-Call-Id": "02"}
        told = connection.ask("POST", "/call", json.dumps(event).encode(), kind)
        assert (told.status, told.headers["fn-http-status"], told.body) == (200, "202", b""), (told.headers, told.text)
        assert [one["type"] for one in sink.take()] == ["dev.cdeventsx.pushwright-decision.skipped.0.1.0"]
        told = connection.ask("POST", "/call", json.dumps({}).encode(), {f"ce-{name}": event[name] for name in ("specversion", "id", "source", "type")})
        assert (told.status, told.headers["fn-http-status"]) == (502, "400"), (told.headers, told.text)
        told = connection.ask("GET", "/call")  # whose answer has headers of the server's own
        assert (told.status, told.headers["fn-http-status"]) == (502, "405") and told.headers["allow"] == "POST, OPTIONS", told.headers
        told = connection.ask("POST", "/call", json.dumps(queued("unknown", "inline")).encode(), kind)
        assert (told.status, told.headers["fn-http-status"], told.headers["retry-after"]) == (502, "409", "5"), (told.headers, told.text)


def openfaas_limits_are_kept():
    config = {"sources": [{"name": "gitea", "kind": "gitea", "secret": {"env": "HOOK"}}]}
    body, headers = signed_push("secret", "acme/web", "refs/heads/main", "1" * 40, "2" * 40)
    sink = Sink()
    for limit, status in (("1ms", 503), ("0.0005m", 503), ("60", 200)):
        with running("webhook", config, PUSHWRIGHT_SINK=sink.url, HOOK="secret", exec_timeout=limit, read_timeout="1", write_timeout="1m") as (port, _):
            connection = Connection(port)
            sink.answers[:] = [(503, 2)]  # which is tried again then, where there is time
            told = connection.ask("POST", "/hooks/gitea", body, headers)
            assert told.status == status and bool(sink.take()) == (status == 200), (limit, told.status, told.text)
    connection.close()
    with running("webhook", config, HOOK="secret", read_timeout="1") as (port, _):
        connection = Connection(port)
        connection.send("POST", "/hooks/gitea", None, {"Content-Length": "10"})
        assert connection.answer().status == 408
    with temporary_directory() as directory:
        run = subprocess.run([BIN / "webhook"], env=settings(directory, exec_timeout="soon"), capture_output=True, text=True, timeout=20)
        assert run.returncode == 1 and "exec_timeout 'soon' is not a duration" in run.stderr, run


def alibaba_is_told_what_failed():
    with running("trigger", FC_FUNCTION_NAME="f") as (port, _):
        connection = Connection(port)
        assert connection.ask("OPTIONS", "/invoke").headers["x-fc-status"] == "200"
        assert connection.ask("POST", "/invoke", b"no event").headers["x-fc-status"] == "404"


# --- the local chain -----------------------------------------------------------------------------------------------------------

def each_function_of_the_local_chain_gets_the_secrets_that_it_reads_and_no_others():
    secrets = {"HOOK": "hook-secret", "GITTOKEN": "git-secret", "REGISTRY": "registry-secret", "API": "api-secret", "LOGS": "log-secret"}
    config = {"sources": [{"name": "a", "kind": "gitea", "secret": {"env": "HOOK"}, "token": {"env": "GITTOKEN"}}], "api": {"token": {"env": "API"}},
              "registries": [{"host": "r.invalid", "username": "u", "password": {"env": "REGISTRY"}}, {"host": "1.dkr.ecr.eu-west-1.amazonaws.com", "credentials": "ecr"}],
              "builds": [{"name": "box", "inline": "FROM scratch", "image": "r.invalid/box", "log": {"url": "https://logs.invalid/x", "token": {"env": "LOGS"}}}]}
    others = {"DATABASE_PASSWORD": "x", "HOOK2": "x", "SSH_AUTH_SOCK": "/x", "K_SINK": "http://127.0.0.1:1/", "PORT": "1", "exec_timeout": "1s",
              "PUSHWRIGHT_TRUST_PLATFORM": "1", "PUSHWRIGHT_CHAIN_KEY": "x"}
    needed = {"HTTPS_PROXY": "http://proxy.invalid", "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt", "LC_ALL": "C.UTF-8", "PUSHWRIGHT_CACHE_BYTES": "1000000",
              "AWS_ACCESS_KEY_ID": "cloud", "AWS_SECRET_ACCESS_KEY": "cloud"}
    mine = {"webhook": {"HOOK", "GITTOKEN", "REGISTRY", "API"}, "build": {"GITTOKEN", "REGISTRY", "LOGS"}, "trigger": {"REGISTRY"}, "deploy": {"REGISTRY"}}
    with temporary_directory() as directory:
        chain = Chain(directory, config)
        chain.environment = {**os.environ, **secrets, **others, **needed}
        try:
            chain.start()
            wait_until(lambda: set(chain.children()) == set(mine), 20, "every function to be started")
            children = chain.children()
            for function, number in children.items():
                lines = pathlib.Path(f"/proc/{number}/environ").read_text().split("\0")
                has = dict(line.split("=", 1) for line in lines if line)
                assert {name for name in secrets if name in has} == mine[function], (function, has)
                assert all(has.get(name) == value for name, value in needed.items()) and has["PATH"] == os.environ["PATH"], (function, has)
                assert not set(has) & set(others), (function, set(has) & set(others))
        finally:
            chain.stop()


if __name__ == "__main__":
    run_tests([every_mistake_of_the_configuration_is_told_at_start_as_lint_tells_it, head_is_answered_as_get_is_without_the_body,
               a_log_that_nobody_reads_keeps_no_request_waiting,
               an_event_comes_as_a_file_a_job_s_directory_or_standard_input, the_exit_code_says_who_tries_again,
               fn_calls_over_its_socket_with_the_request_in_headers, fn_invokes_with_events_and_a_failure_is_one, openfaas_limits_are_kept,
               alibaba_is_told_what_failed, each_function_of_the_local_chain_gets_the_secrets_that_it_reads_and_no_others])
