"""Receiving deliveries: start, CPU a request, latency; ours against Debian's `webhook` package, one after the other, never at once."""
import json

from delivery import github_ping, github_push, http_request
from pushwright import BIN, Chain, free_port, http
from table import median, percentile
from tools import (CLIENT_CORE, REPOSITORY, SECRET, SERVER_CORE, configuration, debian_webhook, debian_webhook_argv, function,
                   function_environment, load, next_hop, on_core, resident_bytes, tool)

ROUNDS = 3
START_ROUNDS, STARTS_A_ROUND = 5, 10
RATE, RATE_SECONDS, LATENCY_ROUNDS = 200, 5, 15
SIZES = (("8 KB", 8000, 8000, 3), ("100 KB", 100000, 2000, 8))  # name, bytes, requests of a closed loop, ours is to be 1/n


def write_request(directory, path, size):
    file = directory / f"request{path.replace('/', '-')}-{size}"
    file.write_bytes(http_request(path, github_push(REPOSITORY, size), SECRET))
    return file


def check_that_both_verify(directory):
    """A wrong signature must not pass, or the comparison would be with a receiver that verifies nothing."""
    body = github_push(REPOSITORY, 8000)
    headers = {"Content-Type": "application/json", "X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + "0" * 64}
    with debian_webhook(directory) as (port, _):
        status = http("POST", f"http://127.0.0.1:{port}/hooks/github", body, headers).status
        assert status >= 400, f"Debian's webhook answers a wrong signature with {status}"
    with next_hop(CLIENT_CORE) as hop, function("webhook", configuration(directory), f"http://127.0.0.1:{hop}/") as (port, _):
        status = http("POST", f"http://127.0.0.1:{port}/hooks/github", body, headers).status
        assert status >= 400, f"our webhook answers a wrong signature with {status}"


def starts(table, directory):
    """To the first signed 2xx: of a hook's first delivery, which both verify and answer, and of a push whose events ours delivers before."""
    first = directory / "request-ping"
    first.write_bytes(http_request("/hooks/github", github_ping(REPOSITORY), SECRET, "ping"))
    delivered = write_request(directory, "/hooks/github", 8000)
    config = configuration(directory)
    port = free_port()
    core = -1 if SERVER_CORE is None else SERVER_CORE
    took = {"ours": [], "delivered": [], "debian": []}
    with next_hop(CLIENT_CORE) as hop:
        environment = function_environment(config, port, f"http://127.0.0.1:{hop}/")
        runs = {"ours": (first, [BIN / "webhook"]), "delivered": (delivered, [BIN / "webhook"]),
                "debian": (first, debian_webhook_argv(directory, port))}
        for _ in range(START_ROUNDS):
            for who, (request, argv) in runs.items():
                took[who] += tool("coldstart", port, request, STARTS_A_ROUND, core, *argv, environment=environment)
    accepted = {who: median([pair[0] for pair in pairs]) / 1000 for who, pairs in took.items()}
    answered = {who: [pair[1] / 1000 for pair in pairs] for who, pairs in took.items()}
    ours, delivering, peer = (median(answered[who]) for who in ("ours", "delivered", "debian"))
    n = len(answered["ours"])
    table.at_most(f"`webhook`: exec to the first signed 2xx, two events delivered before it; median of {n}", delivering, 1.0, "ms", 2)
    table.share("exec to the first signed 2xx, GitHub's `ping`, against Debian's `webhook`", ours, peer, 7, "ms", 2)
    table.add("of it until a connection is accepted", f"{accepted['ours']:.2f} ms", f"{accepted['debian']:.2f} ms")
    table.add("95 of 100 starts within", f"{percentile(answered['ours'], 95):.2f} ms", f"{percentile(answered['debian'], 95):.2f} ms")


def busy_round(server, request, requests, hop):
    with server as (port, pid):
        busy = load(port, request, requests, warm=requests // 10, pids=[pid], next_hop=hop)
        return {"cpu": busy["cpu_us"][0], "per_second": busy["per_second"], "rss": resident_bytes(pid)}


def medians(rounds):
    return {key: median([r[key] for r in rounds]) for key in rounds[0]}


def latencies(directory, config, request, hop):
    """Of all in turns, a second each, many times: what else happens on the machine hits one round or another, not one of the servers."""
    rounds = {"ours": [], "debian": [], "nothing": []}
    with function("webhook", config, f"http://127.0.0.1:{hop}/") as (ours, _), debian_webhook(directory) as (debian, _), \
            next_hop(SERVER_CORE) as nothing:
        ports = {"ours": ours, "debian": debian, "nothing": nothing}
        for number in range(1 + LATENCY_ROUNDS):
            for who, port in ports.items():
                took = load(port, request, RATE, connections=4, warm=RATE // 10, rate=RATE, next_hop=hop)
                rounds[who] += [took] if number > 0 else []
    return {who: medians([{key: r[key] for key in ("p50_us", "p99_us")} for r in took]) for who, took in rounds.items()}


def compare(table, directory, name, size, requests, parts):
    request = write_request(directory, "/hooks/github", size)
    exec_request = write_request(directory, "/hooks/github-true", size)
    config, hop = configuration(directory), free_port()
    ours, debian = [], []
    for _ in range(ROUNDS):
        ours.append(busy_round(function("webhook", config, f"http://127.0.0.1:{hop}/"), request, requests, hop))
        debian.append(busy_round(debian_webhook(directory), request, requests // 2, hop))
    runs_true = busy_round(debian_webhook(directory), exec_request, requests // 8, hop)
    ours, debian, took = medians(ours), medians(debian), latencies(directory, config, request, hop)
    p50, p99 = ({who: times[key] for who, times in took.items()} for key in ("p50_us", "p99_us"))
    table.share(f"{name}: CPU a request", ours["cpu"], debian["cpu"], parts, "µs", 1)
    table.add(f"{name}: p99 at {RATE} a second, median of {LATENCY_ROUNDS} rounds", f"{p99['ours']:.0f} µs", f"{p99['debian']:.0f} µs",
              "lower than the peer's", p99["ours"] < p99["debian"])
    table.add(f"{name}: p50 at {RATE} a second", f"{p50['ours']:.0f} µs", f"{p50['debian']:.0f} µs")
    table.add(f"{name}: p50, p99 of a server that does nothing", f"{p50['nothing']:.0f}, {p99['nothing']:.0f} µs")
    table.add(f"{name}: requests a second, 16 connections, one core", f"{ours['per_second']:.0f}", f"{debian['per_second']:.0f}")
    table.add(f"{name}: memory after that load", f"{ours['rss'] / 1e6:.1f} MB", f"{debian['rss'] / 1e6:.1f} MB")
    table.add(f"{name}: the peer when it runs `/bin/true` for each, CPU a request", "", f"{runs_true['cpu']:.0f} µs, its child not counted")


def durable(table, directory):
    """The same deliveries into `pushwright up`: every event is on disk before the answer. The build is switched off, so that each push gives
    two events as before (the change, and the decision not to build) and nothing else happens on the machine."""
    request = write_request(directory, "/hooks/github", 8000)
    config = json.loads(configuration(directory).read_text())
    config["builds"][0]["enabled"] = False
    config["triggers"][0]["deploy"][0].pop("servicePort")
    chain = Chain(directory / "chain", config)
    with on_core(SERVER_CORE):
        chain.start()
    try:
        pids = [chain.children()["webhook"], chain.process.pid]
        busy = load(chain.port, request, 3000, warm=300, pids=pids)
        steady = load(chain.port, request, RATE * RATE_SECONDS, connections=4, warm=RATE // 4, rate=RATE)
    finally:
        chain.stop()
    table.add("8 KB into the durable local chain: CPU a request", f"{busy['cpu_us'][0]:.1f} µs `webhook`, {busy['cpu_us'][1]:.1f} µs carrier")
    table.add(f"8 KB into the durable local chain: p50, p99 at {RATE} a second", f"{steady['p50_us']:.0f}, {steady['p99_us']:.0f} µs")
    table.add("8 KB into the durable local chain: requests a second, 16 connections", f"{busy['per_second']:.0f}")


def receiving(table, directory):
    check_that_both_verify(directory)
    for size in SIZES:
        compare(table, directory, *size)
    (directory / "chain").mkdir()
    durable(table, directory)
