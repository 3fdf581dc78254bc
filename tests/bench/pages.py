"""From `git push` to the page: the demonstration's chain, its repository and its hook; every step's time from the journal of `up`."""
import datetime
import http.client
import re
import time

from pushwright import BIN, ROOT, Chain, free_port, git, wait_until, web_base
from table import median

PUSHES = 15
SECRET = "the secret of the bench, long enough"
QUEUED, PUBLISHED, REQUESTED = "build.queued", "artifact.published", "deploy.requested"


def configuration(directory, repository, port):
    return {
        "sources": [{"name": "demo", "kind": "gitea", "secret": {"file": str(directory / "secret")}}],
        "registries": [{"host": "localhost", "layout": str(directory / "images")}],
        "builds": [{"name": "hello", "source": "demo", "repository": "demo/hello", "clone": f"file://{repository}",
                    "on": {"branches": ["main"]}, "image": "localhost/hello", "tag": "{branch}-{time}-{sha:7}", "also": ["latest"]}],
        "triggers": [{"name": "hello-web", "image": "localhost/hello", "when": {"glob": "main-*"},
                      "deploy": [{"cluster": "local", "workload": "hello", "servicePort": f"127.0.0.1:{port}"}]}]}


def make_repository(directory, chain):
    """Bare, with the demonstration's hook, which notes when it began and ended; and a clone with the hello world."""
    bare, work = directory / "hello.git", directory / "work"
    git("init", "-q", "--bare", "-b", "main", bare)
    hook = bare / "hooks/post-receive"
    hook.write_text(f"""#!/bin/bash
began=$EPOCHREALTIME
"{BIN}/pushwright" send --push --to "{chain.url}/hooks/demo" --repository demo/hello \\
    --clone "file://{bare}" --secret-file "{directory}/secret" >/dev/null
echo "$began $EPOCHREALTIME" >"{directory}/hook"
""")
    hook.chmod(0o755)
    git("clone", "-q", bare, work)
    for file in (ROOT / "templates/hello").iterdir():
        (work / file.name).write_bytes(file.read_bytes())
    git("add", "-A", cwd=work)
    git("commit", "-qm", "hello world", cwd=work)
    return work


def page(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def wait_for_page(port, text, seconds=20):
    wait_until(lambda: text in page(port), seconds, f"a page with '{text}'")
    return time.time()


def seconds_of(rfc3339):
    return datetime.datetime.fromisoformat(rfc3339.replace("Z", "+00:00")).timestamp()


def accepted_times(chain, commit):
    """Event type → when the carrier had it on disk, for the events that this commit led to."""
    entries = [e for e in chain.journal() if "accepted" in e]
    mine = [e for e in entries if commit in str(e["accepted"]["data"])]
    chains = {e["accepted"]["data"]["context"].get("chainId") for e in mine}
    times = {}
    for entry in entries:
        event = entry["accepted"]
        if event["data"]["context"].get("chainId") in chains:
            times.setdefault(re.sub(r"^dev\.cdevents(x)?\.(pushwright-)?|\.[0-9.]+$", "", event["type"]), seconds_of(entry["at"]))
    return times


def one_push(chain, directory, work, port, text):
    (work / "index.html").write_text(text)
    git("commit", "-qam", text, cwd=work)
    began = time.time()
    git("push", "-q", "origin", "HEAD:main", cwd=work)
    returned = time.time()
    served = wait_for_page(port, text)
    hook_began, hook_ended = map(float, (directory / "hook").read_text().split())

    def steps():
        times = accepted_times(chain, git("rev-parse", "HEAD", cwd=work))
        return times if {QUEUED, PUBLISHED, REQUESTED, "service.upgraded"} <= set(times) else None
    at = wait_until(steps, 10, "the journal to tell of every step")
    return {"page": served - returned, "push": returned - began, "chain": served - hook_began, "hook": hook_ended - hook_began,
            "webhook": at[QUEUED] - hook_began, "build": at[PUBLISHED] - at[QUEUED], "trigger": at[REQUESTED] - at[PUBLISHED],
            "deploy": served - at[REQUESTED], "upgraded": at["service.upgraded"] - hook_began}


def pages(table, directory):
    port = free_port()
    web_base(directory / "images/web")
    (directory / "secret").write_text(SECRET)
    chain = Chain(directory, configuration(directory, directory / "hello.git", port))
    work = make_repository(directory, chain)
    chain.start()
    try:
        git("push", "-q", "origin", "HEAD:main", cwd=work)
        wait_for_page(port, "hello world")
        pushes = [one_push(chain, directory, work, port, f"<h1>change {n} of {PUSHES}</h1>") for n in range(PUSHES)]
    except Exception as why:
        raise RuntimeError(f"{why}\n{chain.said()[-2000:]}") from why
    finally:
        chain.stop()
    ms = {step: median([push[step] for push in pushes]) * 1000 for step in pushes[0]}
    table.at_most(f"`git push` returns → the new page is served; median of {PUSHES}", ms["page"], 300, "ms", 1)
    table.at_most("the chain itself: the hook begins → the new page is served", ms["chain"], 100, "ms", 1)
    table.add("of it the hook and `webhook`: the hook begins → `build.queued` is on disk", f"{ms['webhook']:.1f} ms")
    table.add("of it `build`: → `artifact.published` is on disk", f"{ms['build']:.1f} ms")
    table.add("of it `trigger`: → `deploy.requested` is on disk", f"{ms['trigger']:.1f} ms")
    table.add("of it `deploy` and the service's start: → the page is served", f"{ms['deploy']:.1f} ms")
    table.add("the hook begins → `service.upgraded` is on disk", f"{ms['upgraded']:.1f} ms")
    table.add("`git push` itself, the hook in it", f"{ms['push']:.1f} ms, {ms['hook']:.1f} ms the hook")
