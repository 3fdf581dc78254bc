"""The command line `pushwright`: what it prints, its exit codes, and what its commands do to a chain and to a person who pushes."""
import json
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from pushwright import BIN, ROOT, Chain, git, http, run_tests, signed_push, temporary_directory, wait_until, with_chain

PUSHWRIGHT = BIN / "pushwright"
COMMANDS = ["up", "build", "lint", "explain", "plan", "deploy", "rollback", "rbac", "send", "replay", "history"]
SECRET = "a secret of the test, long enough"
DONE, FAILED, USAGE, REFUSED = 0, 1, 2, 3


def run(*arguments, code=DONE, **options):
    """Standard output and standard error."""
    done = subprocess.run([str(PUSHWRIGHT), *map(str, arguments)], capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == code, f"{arguments}: exit {done.returncode} instead of {code}: {done.stdout}{done.stderr}"
    return done.stdout, done.stderr


def without_arguments_it_says_what_there_is():
    for arguments, code in [([], USAGE), (["--help"], DONE), (["help"], DONE)]:
        said = "".join(run(*arguments, code=code))
        assert all(re.search(rf"^  {command} +\w", said, re.M) for command in COMMANDS), said
    assert re.match(r"pushwright \d+\.\d+\.\d+\n$", run("--version")[0])
    assert "no command 'fly'" in run("fly", code=USAGE)[1]
    door = subprocess.run([ROOT / "build.sh", "fly"], capture_output=True, text=True, timeout=60)
    assert door.returncode == USAGE and not door.stdout and re.match("build.sh: no such word: 'fly'\n\nUsage: ", door.stderr), door


def every_command_helps():
    for command in COMMANDS:
        for arguments in [[command, "--help"], [command, "--state", "x", "--help"]]:
            said, complaints = run(*arguments)
            assert said.startswith(f"Usage: pushwright {command}") and not complaints, said


def wrong_usage_is_told_with_the_way_to_help():
    rows = [["up", "--nonsense"], ["up", "--config"], ["up", "--reconcile", "often"], ["up", "--reconcile", "-1"], ["up", "--reconcile", "86401"], ["lint"], ["lint", "a", "b"], ["send"], ["send", "a", "b"], ["send", "--type"],
            ["send", "file", "--type", "t"], ["send", "--nonsense", "x"], ["send", "--push"], ["replay"], ["replay", "a", "b"],
            ["replay", "--to"], ["rbac"], ["rbac", "a", "b"], ["rbac", "a", "--cluster"], ["plan", "a"], ["plan", "a", "b", "c"], ["plan", "a", "b", "--to", "c"], ["deploy", "a", "b"],
            ["deploy", "a", "b", "c", "--target"], ["rollback", "a"], ["rollback", "a", "b", "--to", "v1"], ["rollback", "a", "b", "--nonsense"], ["replay", "--nonsense", "a"], ["history", "a", "b"], ["history", "--nonsense"], ["history", "--state"]]
    for arguments in rows:
        said, complaints = run(*arguments, code=USAGE, stdin=subprocess.DEVNULL)
        assert not said and f"Try 'pushwright {arguments[0]} --help'" in complaints, (arguments, said, complaints)


def what_is_wrong_with_the_options_is_named():
    for command in COMMANDS:
        said = run(command, "--frob=a secret", code=USAGE)[1]
        assert f"pushwright {command}: unknown option --frob\n" in said and "secret" not in said, said
    rows = {("up", "--config"): "--config needs a value", ("history", "--json=yes"): "--json takes no value",
            ("history", "a", "b\x1b[2J"): "'b?[2J' is one argument too many", ("plan", "c"): "no IMAGE was named", ("lint",): "no FILE was named",
            ("send", "-x"): "unknown option -x", ("rollback", "c", "t", "--to=v1"): "--to wants a digest"}
    for arguments, mistake in rows.items():
        said = run(*arguments, code=USAGE)[1]
        assert f"pushwright {arguments[0]}: {mistake}" in said, (arguments, said)
    assert "'nowhere' is not the state of a chain" in run("history", "--state=nowhere", code=REFUSED)[1]


def lint_finds_every_mistake_at_its_place():
    with temporary_directory() as directory:
        path = directory / "pushwright.json"
        path.write_text('{\n  "sources": [{ "name": "a", "kind": "gitbub" }],\n  "bilds": [],\n  "triggers": [\n    { "name": "t", "image": "X" }\n  ]\n}\n')
        said, _ = run("lint", path, code=REFUSED)
        places = re.findall(rf"^{re.escape(str(path))}:(\d+):(\d+): (.+)$", said, re.M)
        assert len(places) == len(said.splitlines()) >= 5, said
        assert ("3", "3") in [place[:2] for place in places] and any(p[0] == "2" and "gitbub" in p[2] for p in places), said
        assert any(p[0] == "5" and "when" in p[2] for p in places) and places == sorted(places, key=lambda p: (int(p[0]), int(p[1]))), said
        path.write_text('{ "triggers": [ }')
        said, _ = run("lint", path, code=REFUSED)
        assert re.match(rf"{re.escape(str(path))}:1:17: ", said), said
        assert run("lint", "-", code=REFUSED, input="{")[0].startswith("-:1:2: ")
        path.write_text("{}")
        assert run("lint", path)[0] == f"{path}: fine (0 sources, 0 builds, 0 triggers)\n"
        assert "No such file" in run("lint", directory / "none", code=REFUSED)[1]


def permissions_are_printed_for_each_namespace_of_a_cluster():
    def target(cluster, workload, **more):
        return {"cluster": cluster, "workload": workload, **more}
    with temporary_directory() as directory:
        path = directory / "pushwright.json"
        rollout = {"kind": "Rollout", "apiVersion": "argoproj.io/v1alpha1"}
        config = {"clusters": [{"name": "far", "kubeconfig": {"file": "/secrets/far"}}], "triggers": [
            {"name": "a", "image": "registry.example.com/web", "when": {"tags": "all"},
             "deploy": [target("in-cluster", "web", namespace="shop"), target("in-cluster", "true", namespace="shop"), target("local", "web"),
                        target("in-cluster", "job", kind="CronJob", namespace="night")]},
            {"name": "b", "image": "registry.example.com/web", "when": {"glob": "v*"},
             "deploy": [target("in-cluster", "web", namespace="shop"), target("far", "beta", **rollout)]}]}
        path.write_text(json.dumps(config))
        said = run("rbac", path)[0]
        assert said.count("kind: ServiceAccount\n") == 1 and said.count("kind: Role\n") == said.count("kind: RoleBinding\n") == 2, said
        assert re.findall(r"resourceNames: (.*)", said) == ['["job"]', '["true", "web"]'], said
        assert 'apiGroups: ["batch"]\n  resources: ["cronjobs"]' in said and "far" not in said and "secrets" not in said, said
        assert 'name: "robot"' in run("rbac", "--account", "ci/robot", path)[0]
        assert "the 'plural' of 'Rollout'" in run("rbac", "--cluster", "far", path, code=REFUSED)[1]
        config["triggers"][1]["deploy"][1]["plural"] = "rollouts"
        path.write_text(json.dumps(config))
        said = run("rbac", "--cluster", "far", path)[0]
        assert 'apiGroups: ["argoproj.io"]\n  resources: ["rollouts"]\n  resourceNames: ["beta"]' in said, said
        for arguments, complaint in [(["--cluster", "near"], "no cluster 'near'"), (["--account", "Robot"], "NAMESPACE/NAME")]:
            assert complaint in run("rbac", *arguments, path, code=REFUSED)[1]
        path.write_text("{}")
        assert "deploys to cluster 'in-cluster'" in run("rbac", path, code=REFUSED)[1]


def output_that_cannot_be_written_is_a_failure():
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([str(PUSHWRIGHT), "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == FAILED and "No space left" in done.stderr, done


def without_a_chain_sending_fails_and_says_so():
    with temporary_directory() as directory:
        said = run("send", "--state", directory, "--type", "t", code=REFUSED)[1]
        assert "chain's key" in said and str(directory) in said, said
        (directory / "chain.key").write_text("k" * 32)
        said = run("send", "--state", directory, "--type", "t", code=FAILED)[1]
        assert "is 'pushwright up' running?" in said, said
        (directory / "event.json").write_text(json.dumps({"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}))
        assert "is 'pushwright up' running?" in run("replay", "--state", directory, directory / "event.json", code=FAILED)[1]
        assert "not the state of a chain" in run("history", "--state", directory / "none", code=REFUSED)[1]


class Place:
    """A chain that builds a repository, whose post-receive hook tells it of pushes."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.bare, self.work = directory / "it's a site.git", directory / "work"
        (directory / "secret").write_text(SECRET)
        git("init", "-q", "--bare", "-b", "main", self.bare)
        git("init", "-q", "-b", "main", self.work)
        git("remote", "add", "origin", self.bare, cwd=self.work)
        self.chain = Chain(directory, {
            "sources": [{"name": "site", "kind": "gitea", "secret": {"file": str(directory / "secret")}}],
            "registries": [{"host": "localhost", "layout": str(directory / "images")}],
            "builds": [self.build("site", ["**"]), self.build("docs", ["main"], ["docs/**"])],
            "triggers": [{"name": "shop", "image": "localhost/site", "when": {"glob": "no-such-*"},
                          "deploy": [{"cluster": "local", "workload": "web"}]}]})
        hook = self.bare / "hooks/post-receive"
        hook.write_text(f"#!/bin/sh\nexec '{PUSHWRIGHT}' send --push --to '{self.chain.url}/hooks/site' --repository acme/site \\\n"
                        f"    --clone 'file:///site' --secret-file '{directory}/secret'\n")
        hook.chmod(0o755)

    def build(self, name, branches, paths=None):
        # The clone does not exist: what is built is not of interest here, only what is queued.
        on = {"branches": branches, "tags": ["v*"], **({"paths": paths} if paths else {})}
        return {"name": name, "source": "site", "repository": "acme/site", "clone": "file:///nonexistent/site.git",
                "on": on, "image": f"localhost/{name}"}

    def commit(self, path, text="text", message="a change"):
        file = self.work / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        git("add", "-A", cwd=self.work)
        git("commit", "-qm", message, cwd=self.work)
        return git("rev-parse", "HEAD", cwd=self.work)

    def push(self, *what):
        """What the person who pushes reads."""
        done = subprocess.run(["git", "push", "origin", *what], cwd=self.work, capture_output=True, text=True,
                              env={**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"})
        assert done.returncode == 0, done.stderr
        return re.sub(r"[ \t]*(\x1b\[K)?$", "", done.stderr, flags=re.M)

    def facts(self, kind):
        return [event["data"]["customData"] for event in self.chain.events(kind)]

    def queued(self, build="site"):
        return [(f["ref"], f["commit"]) for f in self.facts("build.queued") if f["build"] == build]

    def run(self, command, *arguments, code=DONE, **options):
        return run(command, "--state", self.chain.state, *arguments, code=code, **options)


with_place = with_chain(Place, prepare=lambda place: place.chain.start())


@with_place
def pushes_to_a_plain_repository_are_told(place):
    first = place.commit("docs/a")
    said = place.push("main")
    assert place.queued() == [("refs/heads/main", first)] and '"status":"accepted"' in said, said
    second = place.commit("src/b", message="not now [skip ci]")
    assert "asks to skip" in place.push("main")
    assert len(place.queued()) == 1 and second
    third = place.commit("src/c")
    place.push("main")
    assert place.queued()[-1] == ("refs/heads/main", third)
    assert place.queued("docs") == [("refs/heads/main", first)], "nothing of docs/ changed since"
    fourth = place.commit("docs/nö\n\"quoted\"")
    place.push("main")
    assert place.queued("docs")[-1] == ("refs/heads/main", fourth)


@with_place
def tags_and_several_refs_at_once_are_told(place):
    commit = place.commit("a")
    git("tag", "v1", cwd=place.work)
    git("tag", "-a", "v2", "-m", "annotated", cwd=place.work)
    git("branch", "other", cwd=place.work)
    git("notes", "add", "-m", "a note", cwd=place.work)
    place.push("main", "other", "v1", "v2", "refs/notes/commits")
    assert sorted(place.queued()) == [(ref, commit) for ref in sorted(["refs/heads/main", "refs/heads/other", "refs/tags/v1", "refs/tags/v2"])]
    for ref in ["main", "v1"]:
        wait_until(lambda: f"push of {ref} ({commit[:7]}) to " in place.chain.said(), what=f"the push of {ref} to be told with its commit")


@with_place
def deletions_are_told(place):
    place.commit("a")
    git("tag", "v1", cwd=place.work)
    git("branch", "other/one", cwd=place.work)
    place.push("main", "other/one", "v1")
    place.push("--delete", "other/one", "v1")
    assert [f["ref"] for f in place.facts("branch.deleted")] == ["refs/heads/other/one"]
    assert [f["ref"] for f in place.facts("tag.deleted")] == ["refs/tags/v1"]
    assert len(place.queued()) == 3


@with_place
def who_pushes_while_the_chain_is_down_is_told_how_to_tell_it_again(place):
    commit = place.commit("a")
    git("branch", "o'ther", cwd=place.work)
    place.chain.stop()
    said = place.push("main", "o'ther")
    assert said.count("stored, but nobody was told") == 2 and "is 'pushwright up' running?" in said, said
    hints = re.findall(r"remote:   to tell it again: (.*)", said)
    assert len(hints) == 2, said
    place.chain.start()
    for hint in hints:
        subprocess.run(["sh", "-c", hint], check=True, capture_output=True)
    assert sorted(place.queued()) == [("refs/heads/main", commit), ("refs/heads/o'ther", commit)], place.queued()


@with_place
def a_wrong_secret_is_told_to_who_pushes(place):
    place.commit("a")
    (place.directory / "secret").write_text("another secret, as long as the first")
    said = place.push("main")
    assert "X-Gitea-Signature does not fit the body" in said and place.queued() == [], said
    lines = f"{'0' * 40} {'1' * 40} refs/heads/main\n"
    options = ["--push", "--to", f"{place.chain.url}/hooks/site", "--repository", "acme/site", "--clone", "file:///x"]
    run("send", *options, "--secret-file", place.directory / "secret", code=REFUSED, input="nonsense\n")
    run("send", *options, "--secret-file", place.directory / "none", code=REFUSED, input=lines)
    said = run("send", *options, "--secret-file", place.directory / "secret", code=REFUSED, input=lines, cwd=place.bare)[1]
    assert "1111111" in said, said


@with_place
def events_are_sent_signed(place):
    published = "dev.cdevents.artifact.published.0.3.0"
    (place.directory / "data.json").write_text('{"subject":{"id":"pkg:oci/x?repository_url=a.example%2Fx","content":{}},"customData":{"n":1.10}}')
    said, _ = place.run("send", "--type", published, "--id", "one", "--data", place.directory / "data.json")
    assert said == f"accepted: {published} one\n", said
    wait_until(lambda: "no trigger watches 'a.example/x'" in place.run("history")[0], 10, "trigger to have verified and decided")
    assert '"n":1.10' in place.run("history", "--json")[0], "data are relayed byte for byte"
    (place.directory / "data.json").write_text("{nonsense")
    assert "is not JSON" in place.run("send", "--type", published, "--data", place.directory / "data.json", code=REFUSED)[1]
    assert "event" in place.run("send", place.directory / "data.json", code=REFUSED)[1]
    place.run("send", "--type", published, "--id", "two", "--unsigned")
    wait_until(lambda: "given up" in place.run("history")[0], 10, "trigger to refuse what is not signed")
    assert "status 403" in place.run("history")[0]
    assert len(list((place.chain.state / "dead").iterdir())) == 1


def saved_delivery(place, commit, end="\r\n", delivery="d-1"):
    body, headers = signed_push(SECRET, "acme/site", "refs/heads/main", "0" * 40, commit, delivery=delivery)
    lines = ["POST /hooks/site HTTP/1.1", "Host: hooks.example.com", "Connection: close", f"Content-Length: {len(body)}",
             *(f"{name}: {value}" for name, value in headers.items())]
    return (end.join(lines) + end + end).encode() + body


@with_place
def a_saved_delivery_goes_through_the_chain_again(place):
    commit, file = place.commit("a"), place.directory / "delivery"
    for number, end in enumerate(["\n", "\r\n"]):
        file.write_bytes(saved_delivery(place, commit, end, f"d-{number}") + b"\n")  # as an editor leaves it
        said, _ = run("replay", "--to", place.chain.url, file)
        assert json.loads(said)["status"] == "accepted" and len(place.queued()) == number + 1, said
    run("replay", "--to", place.chain.url, file)
    assert len(place.queued()) == 2, "a delivery repeated makes nothing twice"
    run("replay", "--to", place.chain.url, "--again", file)
    assert len(place.queued()) == 3, "unless it is asked for"
    rows = [(file.read_bytes()[:-20], "Content-Length says"), (b"no request", "neither an event"), (b"GET\n\n", "not a request"),
            (file.read_bytes().replace(b"Connection: close", b"Transfer-Encoding: chunked"), "chunked"), (b"", "neither an event"),
            (b"{}", "specversion")]
    for text, complaint in rows:
        file.write_bytes(text)
        said = run("replay", "--state", place.chain.state, *([] if text == b"{}" else ["--to", place.chain.url]), file, code=REFUSED)[1]
        assert complaint in said, (text, said)
    file.write_bytes(saved_delivery(place, commit).replace(commit.encode(), b"f" * 40))
    assert "does not fit the body" in run("replay", "--to", place.chain.url, file, code=REFUSED)[1]
    place.chain.stop()
    run("replay", "--to", place.chain.url, file, code=FAILED)


@with_place
def history_tells_times_reasons_and_only_what_is_asked(place):
    commit = place.commit("src/a")
    place.push("main")
    place.commit("src/b")
    place.push("main")
    wait_until(lambda: "nothing to do" in place.run("history")[0], 10, "a decision")
    said = place.run("history")[0]
    assert re.search(rf"^\d{{4}}-\d\d-\d\dT[\d:.]+Z +webhook +push of main \({commit[:7]}\) to acme/site$", said, re.M), said
    assert f"build 'site' of main ({commit[:7]}) is queued" in said, said
    assert "no changed path is one of build 'docs'" in said, said
    about = place.run("history", "docs")[0]
    assert "no changed path" in about and "'site'" not in about, about
    assert place.run("history", "nobody")[0] == ""
    events = [json.loads(line) for line in place.run("history", "--json", "docs")[0].splitlines()]
    assert events and all(event["specversion"] == "1.0" for event in events)
    purl = f"pkg:oci/web@sha256%3A{'a' * 64}?repository_url=localhost%2Fweb&tag=v1"
    subject = {"id": "local/default/web", "content": {"artifactId": purl}}
    (place.work / "event.json").write_text(json.dumps({"specversion": "1.0", "id": "1", "source": "/s", "subject": "local/default/web", "type": "dev.cdevents.service.rolledback.0.3.0",
                                                       "data": {"subject": subject}}))
    place.run("send", place.work / "event.json")
    said = place.run("history", "local/default/web")[0]
    assert "local/default/web is back at localhost/web:v1 (sha256:aaaaaaaaaaaa)" in said, said


if __name__ == "__main__":
    run_tests([
        without_arguments_it_says_what_there_is,
        every_command_helps,
        wrong_usage_is_told_with_the_way_to_help, what_is_wrong_with_the_options_is_named,
        lint_finds_every_mistake_at_its_place,
        permissions_are_printed_for_each_namespace_of_a_cluster,
        output_that_cannot_be_written_is_a_failure,
        without_a_chain_sending_fails_and_says_so,
        pushes_to_a_plain_repository_are_told,
        tags_and_several_refs_at_once_are_told,
        deletions_are_told,
        who_pushes_while_the_chain_is_down_is_told_how_to_tell_it_again,
        a_wrong_secret_is_told_to_who_pushes,
        events_are_sent_signed,
        a_saved_delivery_goes_through_the_chain_again,
        history_tells_times_reasons_and_only_what_is_asked,
    ])
