"""Deliveries while processes are killed -9 at random moments: what was acknowledged is built, and built once."""
import collections
import os
import random
import signal
import time

from pushwright import Chain, git, http, signed_push, temporary_directory, wait_until, web_base

SECRET = "a secret of the test, long enough"
ZERO = "0" * 40


def make_repository(directory, branches):
    """A bare repository with a commit of its own on every branch; {branch: commit}."""
    bare, work = directory / "site.git", directory / "work"
    git("init", "-q", "--bare", "-b", "main", bare)
    git("init", "-q", "-b", "main", work)
    commits = {}
    (work / "Dockerfile").write_text("FROM localhost/web\nADD ./ /var/www/html/\n")
    for branch in branches:
        (work / "index.html").write_text(branch)
        git("add", "-A", cwd=work)
        git("commit", "-qm", branch, cwd=work)
        commits[branch] = git("rev-parse", "HEAD", cwd=work)
        git("push", "-q", bare, f"HEAD:refs/heads/{branch}", cwd=work)
    return bare, commits


def configuration(directory, bare):
    return {
        "sources": [{"name": "site", "kind": "gitea", "secret": {"file": str(directory / "secret")}}],
        "registries": [{"host": "localhost", "layout": str(directory / "images")}],
        "builds": [{"name": "site", "source": "site", "repository": "acme/site", "clone": f"file://{bare}",
                    "on": {"branches": ["**"]}, "image": "localhost/site", "tag": "{branch}-{sha:7}"}],
        "triggers": [{"name": "never", "image": "localhost/site", "when": {"glob": "no-such-*"},
                      "deploy": [{"cluster": "local", "workload": "site"}]}],
    }


def kill_somebody(chain, dice):
    children = chain.children()
    if dice.random() < 0.3 or not children:
        chain.kill()
        chain.start()
        return "chain"
    name, process = dice.choice(sorted(children.items()))
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        pass
    return name


def run(kills, seed=None):
    dice = random.Random(seed)
    branches = [f"b{i}" for i in range(kills)]
    killed = collections.Counter()
    with temporary_directory() as directory:
        web_base(directory / "images/web")
        (directory / "secret").write_text(SECRET)
        bare, commits = make_repository(directory, branches)
        chain = Chain(directory, configuration(directory, bare))
        chain.start()
        try:
            for branch in branches:
                body, headers = signed_push(SECRET, "acme/site", f"refs/heads/{branch}", ZERO, commits[branch])

                def deliver():
                    # The sender's part: the same delivery again until it is acknowledged.
                    return http("POST", chain.url + "/hooks/site", body, headers, seconds=5).status == 202
                wait_until(deliver, 30, f"the delivery of {branch} to be acknowledged")
                time.sleep(dice.random() * 0.06)
                killed[kill_somebody(chain, dice)] += 1

            def all_built():
                return {event["data"]["customData"]["ref"] for event in chain.events("artifact.published")} >= \
                    {f"refs/heads/{branch}" for branch in branches}
            wait_until(all_built, 120, "every acknowledged push to be built")

            def all_settled():
                wanted, settled = collections.Counter(), set()
                for entry in chain.journal():
                    for name in entry.get("to", []):
                        wanted[name] += 1
                    if "taken" in entry:
                        settled.add((entry["by"], entry["taken"]))
                return sum(wanted.values()) == len(settled)
            wait_until(all_settled, 120, "every event to be taken")
            published = collections.Counter(event["data"]["customData"]["ref"] for event in chain.events("artifact.published"))
            twice = {ref: count for ref, count in published.items() if count > 1}
            assert not twice, f"published twice: {twice}"
            dead = list((chain.state / "dead").iterdir())
            assert not dead, f"dead letters: {dead}"
        except BaseException:
            print("\n".join("# " + line for line in chain.said().splitlines()[-60:]))
            raise
        finally:
            chain.stop()
    print(f"# {kills} pushes, killed: {dict(killed)}")
