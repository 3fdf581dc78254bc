"""The Dockerfile library against recorded answers of BuildKit and of the suites it came with ($CONFORMANCE_DATA/dockerfile).

Knows no case by name: what a record holds says how it is asked and compared, and every file of a folder is read. Of a Dockerfile are compared the
tree of words, the typed instructions, the image's configuration with its history, the commands with their environment and mounts, the warnings,
and the error with its line. Differences that are accepted stand with their reasons in dockerfile.differences; what stands there and does not
differ any more is a failure too."""
import collections
import fnmatch
import json
import pathlib
import posixpath
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import pushwright

HERE = pathlib.Path(__file__).resolve().parent
DATA = pushwright.CONFORMANCE / "dockerfile"
DRIVER = pushwright.BIN.parent / "tests/conformance/dockerfile_frontend"

# What every base image resolved to when the answers were recorded (README of oracle-frontend).
BASE = {"architecture": "amd64", "os": "linux",
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "FROMBASE=yes"],
                   "Cmd": ["/bin/sh"], "Labels": {"base": "1"}},
        "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "base"}],
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "1" * 64]}}
ERRORS = ("parse_error", "instr_error", "convert_error", "marshal_error")


def hexed(text):
    return text.encode("utf-8", "surrogatepass").hex()


class Driver:
    def __init__(self):
        self.process = subprocess.Popen([DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, **question):
        self.process.stdin.write(json.dumps(question).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the driver ended with {self.process.wait()}")
        return json.loads(line)

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def differing(what, want, have):
    if want != have:
        yield f"{what}: recorded {want!r}, ours {have!r}"


# ---- words, heredocs, git sources, ignore files ----

def judge_word(driver, case):
    answer = driver.ask(**{"do": "word"}, text=hexed(case["in"]), escape=hexed(case["escape"]), env=[hexed(e) for e in case["env"]],
                        body=case["op"] == "heredoc-body")
    if case.get("error"):
        return differing("error", case.get("message"), answer.get("error"))
    key = "words" if case["op"] == "words" else "out"
    return differing(key, case.get(key) or type(answer.get(key, ""))(), answer.get(key, answer.get("error")))


def judge_heredoc(driver, case):
    answer = driver.ask(**{"do": "heredoc"}, text=hexed(case["in"]))
    want = case["heredoc"] and {key: value for key, value in case["heredoc"].items() if key != "Content"}
    yield from differing("error", case["error"], answer.get("error"))
    yield from differing("heredoc", want, answer.get("heredoc"))


def judge_git(driver, case):
    answer = driver.ask(**{"do": "git-ref"}, text=hexed(case["in"]))
    yield from differing("is_git", case["is_git"], answer["is_git"])
    yield from differing("error", case["error"], answer.get("error"))
    for key, value in (case["ref"] or {}).items():
        yield from differing(key, value, answer.get(key))


def judge_ignore(driver, case):
    paths = list(case.get("excluded") or {})
    source = {"text": hexed(case["ignorefile"])} if "ignorefile" in case else {"patterns": [hexed(p) for p in case["patterns"]]}
    answer = driver.ask(**{"do": "ignore"}, paths=[hexed(p) for p in paths], **source)
    if case.get("error"):
        return differing("error", case["error"], answer.get("error"))
    have = dict(zip(paths, answer["excluded"])) if "excluded" in answer else answer
    return differing("excluded", *({key: value for key, value in side.items() if side.get(key) != other.get(key)}
                                   for side, other in ((case["excluded"], have), (have, case["excluded"]))))


def judge_pattern(driver, case):
    patterns, path, want = case["case"]
    patterns = patterns if isinstance(patterns, list) else [patterns]
    answer = driver.ask(**{"do": "ignore"}, patterns=[hexed(p) for p in patterns], paths=[hexed(path)])
    return differing(path, [want], answer.get("excluded", answer))


# ---- Dockerfiles ----

def without_nothing(value):
    """Without members that say nothing, which the two sides write in several ways; what is a Key or Value stays."""
    if isinstance(value, list):
        return [without_nothing(item) for item in value]
    if isinstance(value, dict):
        return {key: without_nothing(item) for key, item in value.items() if key in ("Key", "Value") or item not in (None, "", [], False, 0)}
    return value


def described(instruction):
    """Ours with the comment that describes an ARG, as the recording writes it."""
    for pair in instruction.get("Args") or []:
        pair["DocComment"] = next((comment.removeprefix(pair["Key"] + " ") for comment in instruction["comments"]
                                   if comment.startswith(pair["Key"] + " ")), "")
        pair.setdefault("Value", None)
    return {key: value for key, value in instruction.items() if key not in ("op", "line", "comments")}


def compare_instructions(where, want, have):
    names = [item["type"].removesuffix("Command").upper() for item in want or []]
    yield from differing(f"{where}: instructions", names, [item["op"] for item in have])
    for number, (recorded, ours) in enumerate(zip(want or [], have)):
        recorded = {key: value for key, value in recorded.items() if key != "type"}
        yield from differing(f"{where}[{number}]", without_nothing(recorded), without_nothing(described(ours)))


def compare_stages(want, have):
    yield from differing("stages", [[s["base"], s["name"], s["platform"]] for s in want], [[s["base"], s["name"], s["platform"]] for s in have])
    for number, (recorded, ours) in enumerate(zip(want, have)):
        yield from compare_instructions(f"stage {number}", recorded["commands"], ours["commands"])


def compare_image(want, have):
    for key in ("architecture", "os", "variant", "author", "config"):
        yield from differing(f"image {key}", want.get(key), have.get(key))
    told = [[(entry["created_by"], entry.get("comment"), entry.get("empty_layer", False)) for entry in image.get("history") or []]
            for image in (want, have)]
    for number, (recorded, ours) in enumerate(zip(*told)):
        yield from differing(f"history[{number}]", recorded, ours)
    yield from differing("history entries", len(told[0]), len(told[1]))


def recorded_mount(mount):
    """A mount of the recorded build graph in our words; None for the root and for a heredoc's script."""
    if mount["dest"] in ("/", "/dev/pipes/"):
        return None
    kind = {0: "bind", 1: "secret", 2: "ssh", 3: "cache", 4: "tmpfs"}[mount.get("mountType", 0)]
    said = mount.get("secretOpt") or mount.get("SSHOpt") or {}
    found = {"type": kind, "target": posixpath.normpath("/" + mount["dest"].lstrip("/"))}
    if kind in ("secret", "ssh"):
        found |= {"id": said.get("ID", "default"), "mode": said.get("mode", 0), "uid": said.get("uid", 0), "gid": said.get("gid", 0),
                  "required": not said.get("optional", False)}
    elif kind == "cache":
        found |= {"id": mount["cacheOpt"]["ID"].removeprefix("/"), "sharing": mount["cacheOpt"].get("sharing", 0)}
    elif kind == "tmpfs":
        found |= {"size": mount.get("TmpfsOpt", {}).get("size", 0)}
    if kind in ("bind", "cache"):
        found |= {"source": mount.get("selector", "/"), "readonly": mount.get("readonly", False)}
    return found


def our_mount(mount):
    keys = {"secret": ("id", "mode", "uid", "gid", "required"), "ssh": ("id", "mode", "uid", "gid", "required"),
            "cache": ("id", "sharing", "source", "readonly"), "tmpfs": ("size",), "bind": ("source", "readonly")}[mount["type"]]
    found = {key: mount[key] for key in ("type", "target", *keys)}
    if mount["type"] == "cache" and mount["owner_set"] and mount["source"] == "/":
        found["source"] = "/cache"  # where BuildKit prepares the directory's owner
    return found


def recorded_exec(op):
    told = op["exec"]
    env = [entry for entry in told["env"] if not entry.startswith("SSH_AUTH_SOCK=")]
    mounts = [recorded_mount(mount) for mount in op["mounts"]]
    proxies = [f"{spelling}={value}" for key, value in sorted((told.get("proxy_env") or {}).items()) for spelling in (key.upper(), key)]
    return {"args": told["args"], "env": env, "proxies": proxies, "cwd": told["cwd"], "user": told.get("user", ""),
            "network": {"UNSET": "default"}.get(op["network"], op["network"].lower()), "security": op["security"].lower(),
            "mounts": sorted((m for m in mounts if m), key=json.dumps),
            "variables": sorted([s["name"], s["ID"], not s.get("optional", False)] for s in op.get("secretenv") or [])}


def our_exec(told):
    args = told["shell"] + [" ".join(told["args"])] if told["shell"] else told["args"]
    mounts = told["mounts"]
    return {"args": args, "proxies": sorted(told["proxies"], key=lambda entry: (entry.split("=")[0].lower(), entry)), **{key: told[key] for key in ("env", "cwd", "user", "network", "security")},
            "mounts": sorted((our_mount(m) for m in mounts if "target" in m), key=json.dumps),
            "variables": sorted([m["env"], m["id"], m["required"]] for m in mounts if "env" in m)}


def compare_execs(want, have):
    """Every command of the recorded build is one of ours; equal commands on equal ground are recorded once."""
    ours = [our_exec(told) for told in have]
    for op in want:
        if "exec" in op and recorded_exec(op) not in ours:
            recorded = recorded_exec(op)
            nearest = max(ours, key=lambda told: sum(told[key] == recorded[key] for key in recorded), default={})
            yield from differing("command", *({key: side.get(key) for key in recorded if recorded[key] != nearest.get(key)}
                                              for side in (recorded, nearest)))


def compare_lint(want, have):
    told = [collections.Counter((w["rule"], w["msg"], *(w["lines"][:1] + w["lines"][-1:])) for w in want or []),
            collections.Counter((w["rule"], w["msg"], *([w["first"], w["last"]] if w["first"] else [])) for w in have)]
    yield from differing("warnings", sorted(told[0] - told[1]), sorted(told[1] - told[0]))


def in_one_order(message):
    """The rules that BuildKit's sentence names come in any order."""
    before, found, rules = (message or "").partition("lint violation found for rules: ")
    return before + found + ", ".join(sorted(rules.split(", "))) if found else message


def our_error(answer, recorded):
    """Ours names the line of every mistake; BuildKit tells it beside the sentence where its parser is through."""
    message = answer.get("error") or answer.get("lint_error")
    if message and not (recorded or "").startswith("dockerfile parse error on line"):
        message = re.sub(r"^dockerfile (parse error on )?line \d+: (ONBUILD trigger '.*': )?", "", message, flags=re.S)
    return in_one_order(message)


def judge_file(driver, case):
    platform = case.get("platform") or "/".join(filter(None, ((case.get("image") or {}).get(key) for key in ("os", "architecture", "variant"))))
    optional = {"target": hexed(case["target"])} if case.get("target") else {}
    answer = driver.ask(**{"do": "file"}, text=hexed(case["dockerfile"]), platform=hexed(platform or "linux/amd64"), base=BASE,
                        args={key: hexed(value) for key, value in (case.get("args") or {}).items()}, **optional)
    recorded = in_one_order(next((case[key] for key in ERRORS if case.get(key)), None))
    yield from differing("error", recorded, our_error(answer, recorded))
    for key in ("ast", "escape"):
        yield from differing(key, case.get(key), answer.get(key))
    if "stages" in case:
        yield from compare_stages(case["stages"] or [], answer.get("stages", []))
        if case["stages"]:
            yield from compare_instructions("before FROM", case.get("meta_args"), answer.get("meta_args", []))
        yield from compare_lint(case.get("lint"), answer.get("lint", []))
    if "image" in case and not recorded:
        yield from compare_image(case["image"], answer.get("image", {}))
        yield from compare_execs(case.get("ops") or [], answer.get("execs", []))


# ---- the suites that BuildKit's parser and shell came with ----

def read_parser(folder):
    """Folders of a Dockerfile and the tree of its words; those without the tree must be refused."""
    for path in sorted(folder.glob("*/*/Dockerfile")):
        result = path.parent / "result"
        yield {"id": path.parent.relative_to(folder).as_posix(), "text": path.read_bytes(), "result": result.read_text().strip() if result.exists() else None}


def judge_parser(driver, case):
    answer = driver.ask(**{"do": "file"}, text=case["text"].hex(), platform=hexed("linux/amd64"), base=BASE, args={})
    if case["result"] is None:
        return differing("refused", True, "error" in answer)
    return differing("ast", case["result"], answer.get("ast"))


def read_lines(folder):
    """BuildKit's own test of line numbers holds the answer in its code: parser_test.go, TestParseLineInformation."""
    for path in sorted(folder.glob("*/Dockerfile")):
        yield {"id": path.parent.name, "text": path.read_bytes(), "lines": [[5, 5], [11, 12], [17, 31]]}


def judge_lines(driver, case):
    answer = driver.ask(**{"do": "file"}, text=case["text"].hex(), platform=hexed("linux/amd64"), base=BASE, args={})
    return differing("lines", case["lines"], answer.get("lines"))


def read_table(path):
    return [(number, line) for number, line in enumerate(path.read_text().splitlines(), 1) if line.strip() and not line.startswith("#")]


def read_variables(path):
    """A|U|W  | word | what it becomes, or "error"; W is for Windows."""
    for number, line in read_table(path):
        platform, word, want = (part.strip() for part in line.split("|"))
        if platform != "W":
            yield {"id": f"line {number}", "in": word, "out": want, "env": ["PWD=/home", "SHELL=bash", "KOREAN=한국어", "NULL="]}


def read_words(path):
    """ENV lines add a variable; the others are: text | words, separated by commas."""
    env = []
    for number, line in read_table(path):
        if line.startswith("ENV "):
            env = env + [line[3:].lstrip(" ")]
            continue
        text, words = line.split("|")
        yield {"id": f"line {number}", "in": text.strip(), "words": words.lstrip(" ").split(","), "env": env}


def judge_table(driver, case):
    key = "words" if "words" in case else "out"
    answer = driver.ask(**{"do": "word"}, text=hexed(case["in"]), escape=hexed("\\"), env=[hexed(e) for e in case["env"]])
    if case[key] in ("error", ["error"]):
        return differing("error", True, "error" in answer)
    return differing(key, case[key], answer.get(key, answer))


# ---- running ----

# A record's member -> how it is judged, the first that is there.
SHAPES = [("dockerfile", judge_file), ("excluded", judge_ignore), ("ignorefile", judge_ignore), ("patterns", judge_ignore),
          ("is_git", judge_git), ("heredoc", judge_heredoc), ("op", judge_word), ("case", judge_pattern)]


def read_records(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        case = json.loads(line)
        yield {**case, "id": case.get("id") or f"line {number}"}


def judge_record(driver, case):
    judge = next((judge for member, judge in SHAPES if member in case), None)
    return judge(driver, case) if judge else [f"no way is known to judge a record of {sorted(case)}"]


def find_suites():
    """[(name, reader, judge)] of what there is."""
    suites = []
    for folder in ("oracle-frontend", "patternmatcher"):
        for path in sorted((DATA / folder).glob("*.jsonl")):
            name = path.stem.removeprefix("frontend-") if folder == "oracle-frontend" else folder
            suites.append((name, lambda path=path: read_records(path), judge_record))
    parser, shell = DATA / "moby-buildkit/parser", DATA / "moby-buildkit/shell"
    for name, place, reader, judge in (("parser", parser, read_parser, judge_parser), ("lines", parser, read_lines, judge_lines),
                                       ("variables", shell / "envVarTest", read_variables, judge_table),
                                       ("words", shell / "wordsTest", read_words, judge_table)):
        if place.exists():
            suites.append((name, lambda place=place, reader=reader: reader(place), judge))
    return suites


def read_differences():
    path = HERE / "dockerfile.differences"
    lines = path.read_text().splitlines() if path.exists() else []
    return [match.groups() for match in (re.match(r"frontend/(\S+) (.+?): (.+)$", line) for line in lines) if match]


def run_suite(name, cases, judge, differences):
    """(passed, failed), every failed case printed with its reason."""
    driver, passed, failed = Driver(), 0, 0
    for case in cases:
        lines = list(judge(driver, case))
        reason = next((reason for suite, identity, reason in differences
                       if fnmatch.fnmatchcase(name, suite) and fnmatch.fnmatchcase(case["id"], identity)), None)
        if reason:
            lines = [] if lines else [f"listed as a difference, and does not differ: {reason}"]
        passed, failed = passed + (not lines), failed + bool(lines)
        if lines:
            print(f"# {name} {case['id']}")
        for line in lines[:6]:
            print("#    " + line.encode("utf-8", "backslashreplace").decode()[:700].replace("\n", "\\n"))
    driver.end()
    return passed, failed


def main():
    suites = find_suites() if DATA.is_dir() and DRIVER.is_file() else []
    if not suites:
        print(f"1..1\nok 1 - recorded answers # SKIP {DATA} or {DRIVER} is not there")
        return
    differences, bad = read_differences(), 0
    print(f"1..{len(suites)}")
    for number, (name, reader, judge) in enumerate(suites, 1):
        passed, failed = run_suite(name, reader(), judge, differences)
        bad += failed
        print(f"{'not ok' if failed or not passed else 'ok'} {number} - {name}")
        print(f"dockerfile/{name}: {passed} passed, {failed} failed, 0 skipped", flush=True)
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
