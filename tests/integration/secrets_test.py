"""fn.json says which secrets a function reads: with those alone it starts, whatever else the configuration names."""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from pushwright import BIN, free_port, http, process, run_tests, temporary_directory

# Where the configuration names a secret of each kind; "/" stands for the folder that is mounted.
CONFIG = {
    "sources": [{"name": "a", "kind": "gitlab", "secret": {"file": "/hook"}, "signingSecret": {"file": "/hook"}, "token": {"file": "/git"}}],
    "registries": [{"host": "registry.invalid", "username": "u", "password": {"file": "/registry"}}],
    "builds": [{"name": "web", "source": "a", "repository": "acme/web", "clone": "https://git.invalid/web.git", "image": "registry.invalid/web"}],
    "triggers": [{"name": "live", "image": "registry.invalid/web", "when": {"tags": "all"}, "deploy": [{"cluster": "local", "workload": "web"}]}],
    "chain": {"keys": [{"file": "/chain"}]},
    "api": {"token": {"file": "/api"}},
}
TEXTS = {"hook": "whsec_" + "QUJD" * 11}


def manifest_of(function):
    return json.loads(subprocess.run([str(BIN / function), "--manifest"], capture_output=True, text=True, check=True).stdout)


def mount(directory, secrets):
    """The configuration, and files for the secrets of these kinds only."""
    for kind in secrets:
        (directory / kind).write_text(TEXTS.get(kind, "k" * 32))
    config = directory / "pushwright.json"
    config.write_text(json.dumps(CONFIG).replace('"file": "/', f'"file": "{directory}/'))
    return config


def with_the_secrets_of_its_manifest_each_function_starts():
    for function in ("webhook", "build", "trigger", "deploy"):
        secrets, port = manifest_of(function)["secrets"], free_port()
        with temporary_directory() as directory:
            settings = {"PATH": os.environ["PATH"], "PUSHWRIGHT_CONFIG": str(mount(directory, secrets)),
                        "PUSHWRIGHT_LISTEN": f"127.0.0.1:{port}", "PUSHWRIGHT_SINK": "http://127.0.0.1:1/"}
            with process([BIN / function], env=settings, stdout=subprocess.DEVNULL,
                         ready=lambda: http("GET", f"http://127.0.0.1:{port}/healthz").status == 200):
                pass


def a_secret_that_it_reads_and_that_is_not_there_is_named():
    for function, missing in (("webhook", "hook"), ("webhook", "api"), ("trigger", "registry"), ("deploy", "chain")):
        with temporary_directory() as directory:
            secrets = [kind for kind in manifest_of(function)["secrets"] if kind != missing]
            settings = {"PATH": os.environ["PATH"], "PUSHWRIGHT_CONFIG": str(mount(directory, secrets)), "PUSHWRIGHT_LISTEN": "127.0.0.1:0"}
            run = subprocess.run([str(BIN / function)], env=settings, capture_output=True, text=True, timeout=20)
            assert run.returncode != 0 and f"{directory}/{missing}" in run.stdout + run.stderr, (function, missing, run)


run_tests([with_the_secrets_of_its_manifest_each_function_starts, a_secret_that_it_reads_and_that_is_not_there_is_named])
