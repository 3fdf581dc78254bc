#!/usr/bin/env python3
"""A Dockerfile that stands in the configuration: the local chain builds it without any repository, on a real registry."""
import contextlib
import json
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from build_test import world
from pushwright import Chain, SKOPEO, http, run_tests, temporary_directory, wait_until

TOKEN = {"Authorization": "Bearer let-me"}


@contextlib.contextmanager
def chain_of(w, text, reconcile=0, **members):
    rule = {"name": "box", "inline": text, "image": f"{w.host}/acme/box", "platforms": ["linux/amd64"], **members}
    with temporary_directory() as directory:
        (directory / "token").write_text("let-me")
        chain = Chain(directory, {"api": {"token": {"file": str(directory / "token")}}, "builds": [rule]}, reconcile=reconcile)
        try:
            chain.start()
            yield chain
        finally:
            chain.kill()


def ask(chain, body=b"{}"):
    return http("POST", chain.url + "/builds/box", body, TOKEN)


def ended(chain, count):
    wait_until(lambda: len(chain.events("build.finished")) == count, 20, f"{count} builds to end\n{chain.said()}")
    last = chain.events("build.finished")[-1]["data"]
    assert last["customData"]["outcome"] == "success", last
    return chain.events("artifact.published")[-1]["data"]["customData"]


def inspect(w, tag):
    return json.loads(subprocess.run([*SKOPEO, "inspect", "--config", "--tls-verify=false", f"docker://{w.host}/acme/box:{tag}"], check=True,
                                     capture_output=True).stdout)


def a_person_asks_and_every_placeholder_has_a_value():
    with world() as w:
        text = f"FROM {w.base}\nARG WHAT\nLABEL what=$WHAT\nCOPY <<end /etc/motd\nhello\nend\nWORKDIR /srv/new\n"
        with chain_of(w, text, args={"WHAT": "{build}/{branch}/{tag}/{ref}/{sha:7}"}, also=["latest"]) as chain:
            assert ask(chain).status == 202
            told = ended(chain, 1)
            commit = told["commit"]
            assert len(commit) == 64 and told["ref"] == "inline", told
            stamp, short = told["tag"].split("-")
            assert len(stamp) == 14 and stamp.startswith("20") and commit.startswith(short), told
            config = inspect(w, "latest")
            assert config["config"]["Labels"]["what"] == f"box////{commit[:7]}", config
            assert config["created"] == "1970-01-01T00:00:00Z", "no commit tells a time"
            assert config["config"]["WorkingDir"] == "/srv/new"
            queued = chain.events("build.queued")[0]
            assert "vcsrepo" not in queued and "repository" not in queued["data"]["customData"], queued
            first = chain.events("artifact.published")[0]["subject"]
            assert ask(chain, b"").status == 202, "an empty body does"
            ended(chain, 2)
            assert chain.events("artifact.published")[1]["subject"].split("?")[0] == first.split("?")[0], "the same input, the same image"
            refused = ask(chain, b'{"ref": "main"}')
            assert refused.status == 400 and "inline Dockerfile" in refused.text, refused.text


def source_date_epoch_sets_the_time():
    with world() as w, chain_of(w, f"FROM {w.base}\nWORKDIR /x\n", args={"SOURCE_DATE_EPOCH": "1700000000"}, tag="v{sha:12}") as chain:
        assert ask(chain).status == 202
        assert inspect(w, ended(chain, 1)["tag"])["created"] == "2023-11-14T22:13:20Z"


def the_text_is_built_once_and_again_when_it_changes():
    with world() as w, chain_of(w, f"FROM {w.base}\n", reconcile=1) as chain:
        first = ended(chain, 1)
        wait_until(lambda: f"'inline' is {first['commit'][:7]}, and build 'box' has built nothing yet" in chain.said(), 5, "the reason")
        chain.stop()
        config = json.loads(chain.config.read_text())
        config["builds"][0]["inline"] += "LABEL v=2\n"
        chain.config.write_text(json.dumps(config))
        chain.start()
        assert ended(chain, 2)["commit"] != first["commit"]
        chain.stop()
        chain.start()
        time.sleep(3)  # a tick comes after one second, and finds nothing
        assert len(chain.events("build.queued")) == 2, chain.events("build.queued")


def what_is_wrong_with_it_is_told():
    with world() as w, chain_of(w, "FROM scratch\nCOPY missing /\n") as chain:
        assert ask(chain).status == 202
        wait_until(lambda: chain.events("build.finished"), 20, "the build to end")
        told = chain.events("build.finished")[0]["data"]["customData"]
        assert told["outcome"] == "failure" and "line 2" in told["errors"], told


if __name__ == "__main__":
    run_tests([a_person_asks_and_every_placeholder_has_a_value, source_date_epoch_sets_the_time,
               the_text_is_built_once_and_again_when_it_changes, what_is_wrong_with_it_is_told])
