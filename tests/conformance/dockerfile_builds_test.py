"""Builds recorded from BuildKit ($CONFORMANCE_DATA/dockerfile/e2e-oracle) against our builder: configuration and layers, or the error.

Each recorded case is built again, from the same context directory and on the same base images, which are made here and stand in a real registry.
Compared is what the answer is about; what depends on the day (times said to be "now", the order of entries) is not. A case that was recorded as failing
must fail here with the same sentence. Cases whose recorded answer is a missing network are skipped. Differences that are accepted stand with
their reasons in dockerfile.differences; what stands there and does not differ any more is a failure too, but what differs by chance."""
import argparse
import concurrent.futures
import contextlib
import difflib
import fnmatch
import gzip
import hashlib
import io
import json
import os
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import pushwright

HERE = pathlib.Path(__file__).resolve().parent
DATA = pushwright.CONFORMANCE / "dockerfile"
ORACLE = DATA / "e2e-oracle"
DRIVER = pushwright.BIN.parent / "tests/conformance/dockerfile_builds"
SUITES = ["expected", "corpus-conf", "corpus-bud", "corpus-kaniko", "corpus-imagebuilder"]
RECORDED_REGISTRY = "127.0.0.1:5077"
BASES = ["std", "two", "rich", "onbuild", "nopath", "multi"]
MADE_HERE = set()  # layers of the bases and files: they hold this machine's busybox and gzip's work, which need not be the recording's
MADE_AS = {}  # recorded hash → that of what was made here in its place
SECONDS = 60  # for one build
MTIME = 1600000000  # of every file of the contexts, when the answers were recorded
IMAGE_WORDS = re.compile(r"^\s*(?:FROM\s+(?:--\S+\s+)*|ARG\s+\w+=|(?:COPY|ADD|RUN)\s.*?\bfrom=)[\"']?([^\s\"',]+)", re.M | re.I)
NEEDS_NETWORK = re.compile(
    r"failed to (resolve source metadata|authorize|fetch|do request)(?! for " + re.escape(RECORDED_REGISTRY) + r")"
    r"|Get \"https?://(?!127\.0\.0\.1:1/)|dial tcp: lookup|git (fetch|ls-remote|clone)|Could not resolve")
REFUSES_RUN = "RUN is not supported by this builder"


# ---- the recorded answers ----

def contexts_of_conformance():
    """The folder of each case of buildah's conformance suite, which the recording only names by the suite's own."""
    lines = (DATA / "buildah/tests/conformance/cases.jsonl").read_text().splitlines()
    return {case["name"]: case.get("contextDir", "") for case in map(json.loads, lines)}


def read_suite(name):
    cases = [json.loads(line) for line in (ORACLE / f"{name}.jsonl").read_text().splitlines()]
    folders = contexts_of_conformance() if name == "corpus-conf" else {}
    for case in cases:
        case["options"] = {**(case.get("opts") or {}), **({"args": case["args"]} if case.get("args") else {})}
        if "context" in case:
            folder, below = DATA / case["context"], folders.get(case["id"], "")
            case["folder"] = folder if folder.match(f"*/{below}") or not (folder / below).is_dir() else folder / below
    return cases


def read_differences():
    """[(suite pattern, id pattern, reason)] of the lines "SUITE ID: REASON" that are about builds."""
    path = HERE / "dockerfile.differences"
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        match = re.match(r"builds/(\S+) (.+?): (.+)$", line)
        if match:
            rows.append(match.groups())
    return rows


# ---- what a build gave ----

def entries_of(blob, registry):
    """Name → what a tar entry says, as the recording writes it; a Dockerfile among the files names our registry."""
    kinds = {tarfile.REGTYPE: "f", tarfile.AREGTYPE: "f", tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l",
             tarfile.LNKTYPE: "h", tarfile.CHRTYPE: "c", tarfile.BLKTYPE: "b", tarfile.FIFOTYPE: "p"}
    found = {}
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob)), errors="surrogateescape") as tar:
        for item in tar:
            kind = kinds[item.type]
            name = item.name + "/" if kind == "d" else item.name
            entry = {"t": kind, "m": f"{item.mode:04o}", "u": item.uid, "g": item.gid, "mt": int(item.mtime)}
            if kind == "f":
                data = tar.extractfile(item).read().replace(registry.encode(), RECORDED_REGISTRY.encode())
                entry |= {"s": len(data), "sha": hashlib.sha256(data).hexdigest()[:16],
                          "text": data[:4096].decode("utf-8", "replace")}
            if kind in "lh":
                entry["l"] = item.linkname
            xattrs = {key.removeprefix("SCHILY.xattr."): value.encode("utf-8", "surrogateescape").hex()
                      for key, value in item.pax_headers.items() if key.startswith("SCHILY.xattr.")}
            if xattrs:
                entry["x"] = xattrs
            found[name] = entry
    return found


class Image:
    def __init__(self, layout):
        self.layout = pathlib.Path(layout)
        index = json.loads((self.layout / "index.json").read_text())
        manifest = json.loads(self.blob(index["manifests"][0]["digest"]))
        self.config = json.loads(self.blob(manifest["config"]["digest"]))
        self.layers = manifest["layers"]

    def blob(self, digest):
        return (self.layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes()


# ---- comparing ----

def same_time(expected, got):
    return expected == got or (expected == "now" and got is not None)


def compare_config(expected, got):
    for key in sorted((set(expected) | set(got)) - {"rootfs", "history", "created"}):
        if expected.get(key) != got.get(key):
            yield f"{key}: expected {expected.get(key)!r}, got {got.get(key)!r}"
    if not same_time(expected.get("created"), got.get("created")):
        yield f"created: expected {expected.get('created')!r}, got {got.get('created')!r}"
    wanted, have = expected.get("history") or [], got.get("history") or []
    if len(wanted) != len(have):
        yield f"history: expected {len(wanted)} entries, got {len(have)}: {[h.get('created_by') for h in have]}"
    for number, (want, has) in enumerate(zip(wanted, have)):
        for key in sorted(set(want) | set(has)):
            if want.get(key) != has.get(key) and not (key == "created" and same_time(want.get(key), has.get(key))):
                yield f"history[{number}].{key}: expected {want.get(key)!r}, got {has.get(key)!r}"


def of_tracing(text):
    """Without the variables by which the recorded BuildKit told its own processes where to send traces."""
    return re.sub(r"^(OTEL_\w+|TRACEPARENT)=.*\n", "", text, flags=re.M)


def is_same(recorded, here):
    return recorded == here or here in MADE_HERE and MADE_AS.setdefault(recorded, here) == here


def compare_entry(name, expected, got):
    if "OTEL_" in expected.get("text", "") and got.get("text") == of_tracing(expected["text"]):
        expected = {**expected, "sha": got["sha"]}
    for key in "tmugslx":
        key = {"s": "sha"}.get(key, key)
        if not is_same(expected.get(key), got.get(key)):
            said = f" ({expected['text']!r})" if key == "sha" and "text" in expected else ""
            yield f"{name} {key}: expected {expected.get(key)!r}{said}, got {got.get(key)!r}"
    if expected.get("mt") not in ("now", got["mt"]):
        yield f"{name} mt: expected {expected.get('mt')}, got {got['mt']}"


def compare_layer(number, expected, got):
    wanted = {entry["n"]: entry for entry in expected}
    missing, surplus = sorted(set(wanted) - set(got)), sorted(set(got) - set(wanted))
    if missing or surplus:
        yield f"layer {number}: missing {missing[:8]}, surplus {surplus[:8]}"
    for name in sorted(set(wanted) & set(got)):
        yield from (f"layer {number}: {text}" for text in compare_entry(name, wanted[name], got[name]))


def compare_image(case, image, registry):
    yield from compare_config(case["config"], image.config)
    diff_ids = image.config["rootfs"]["diff_ids"] or []
    if len(case["layers"] or []) != len(diff_ids):
        yield f"expected {len(case['layers'] or [])} layers, got {len(diff_ids)}"
        return
    for number, layer in enumerate(case["layers"] or []):
        if "base" in layer:
            if not is_same(layer["base"], diff_ids[number]):
                yield f"layer {number}: expected {layer['base']} of the base, got {diff_ids[number]}"
        else:
            got = entries_of(image.blob(image.layers[number]["digest"]), registry)
            if "entries_count" in layer and layer["entries_count"] != len(got):
                yield f"layer {number}: expected {layer['entries_count']} entries, got {len(got)}"
            if "entries_count" in layer:
                continue
            yield from compare_layer(number, layer["entries"] or [], got)


def sentence_of(error):
    """What a recorded error is about: without BuildKit's way to it and without what differs from run to run."""
    text = error.splitlines()[0].removeprefix("error: ").removeprefix("failed to solve: ")
    text = text.replace("failed to load cache key: ", "").replace("failed to load LLB: ", "")
    text = re.sub(r"failed to compute cache key: failed to calculate checksum of ref \S+: ", "", text)
    text = re.sub(r"^lstat (/\S+): no such file or directory$", r'"\1": not found', text)
    text = re.sub(r"^(\S+): failed to resolve source metadata for \1: \1: not found$", "not found", text)
    text = re.sub(r'^"/.*": not found$', "not found", text)  # several sources are looked for side by side
    text = re.sub(r"^Get \"http://(\S+)\": dial tcp .*$", r"\1: cannot connect", text)
    return re.sub(r" \(did you mean .*\)$", "", text)


def compare_error(case, answer):
    wanted = sentence_of(case["error"] or "")
    if not re.search(re.escape(wanted.rstrip(" :")).replace("<path>", r"\S*"), answer["error"], re.S):
        yield f"expected the error {wanted!r}, got {answer['error']!r}"


# ---- building ----

class Driver:
    """One process that builds one case after another."""

    def __init__(self):
        self.child = None

    def ask(self, request):
        if not self.child:
            self.child = subprocess.Popen([str(DRIVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                          errors="surrogateescape")
        watch = concurrent.futures.ThreadPoolExecutor(1)
        try:
            self.child.stdin.write(json.dumps(request) + "\n")
            self.child.stdin.flush()
            line = watch.submit(self.child.stdout.readline).result(SECONDS)
        except concurrent.futures.TimeoutError:
            line = None
        if not line:
            status = "took longer than %d s" % SECONDS if line is None else f"ended with {self.child.poll()}"
            self.end()
            return {"kind": "crash", "error": f"the builder {status}"}
        watch.shutdown()
        return json.loads(line)

    def end(self):
        if self.child:
            self.child.kill()
            self.child.wait()
            self.child = None


def set_times(directory):
    for folder, folders, files in os.walk(directory, topdown=False):
        for name in files + folders:
            os.utime(os.path.join(folder, name), (MTIME, MTIME), follow_symlinks=False)
    os.utime(directory, (MTIME, MTIME))


class Workshop:
    """Bases in a registry, contexts to build from, drivers that build."""

    def __init__(self, directory, registry):
        self.directory, self.registry = directory, registry
        self.contexts, self.drivers = {}, queue.Queue()
        for _ in range(os.cpu_count() or 1):
            self.drivers.put(Driver())
        self.push_bases()
        self.own = directory / "context"
        subprocess.run([sys.executable, ORACLE / "mkctx.py", self.own], check=True, capture_output=True)
        for file in [pathlib.Path("/bin/busybox"), *filter(lambda path: path.name.endswith(("gz", "gz.bin")), self.own.rglob("*"))]:
            MADE_HERE.add(hashlib.sha256(file.read_bytes()).hexdigest()[:16])

    def push_bases(self):
        layouts = self.directory / "bases"
        subprocess.run([sys.executable, ORACLE / "mkbases.py", layouts], check=True, capture_output=True)
        for blob in layouts.glob("*/blobs/sha256/*"):
            with contextlib.suppress(ValueError, KeyError, TypeError):  # manifests and layers are no configuration
                MADE_HERE.update(json.loads(blob.read_bytes())["rootfs"]["diff_ids"])
        for name in BASES:
            subprocess.run([*pushwright.SKOPEO, "copy", "--quiet", "--all", "--preserve-digests", "--dest-tls-verify=false",
                            f"oci:{layouts}/{name}:1", f"docker://{self.registry}/fx/{name}:1"], check=True, capture_output=True)

    def mirror(self, cases):
        """Where the answers were recorded, a mirror gave the standard base for whatever image was asked of other registries."""
        hosts, tags = {}, set()
        for word in {word for case in cases if case["ok"] or not NEEDS_NETWORK.search(case["error"] or "")
                     for word in IMAGE_WORDS.findall(case["dockerfile"])}:
            match = re.fullmatch(r"(?:([\w-]+(?:\.[\w-]+)+)/)?([a-z0-9][a-z0-9._/-]*?)(?::([\w.-]+))?", word)
            if match and match[2] != "scratch":
                host, repository = match[1] or "docker.io", match[2]
                repository = f"library/{repository}" if host == "docker.io" and "/" not in repository else repository
                hosts.setdefault(host, set()).add(repository)
                tags.add(match[3] or "latest")
        layout = self.directory / "mirrored"
        shutil.copytree(self.directory / "bases/std", layout)
        index = json.loads((layout / "index.json").read_text())
        entry = index["manifests"][0]
        index["manifests"] = [{**entry, "annotations": {"org.opencontainers.image.ref.name": tag}} for tag in sorted(tags)]
        (layout / "index.json").write_text(json.dumps(index))
        for host, repositories in hosts.items():
            for repository in sorted(repositories):
                place = self.directory / "mirrors" / host / repository
                if not any(parent.is_symlink() for parent in place.parents) and not place.is_dir():
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.symlink_to(layout)
        self.mirrors = {host: str(self.directory / "mirrors" / host) for host in hosts}

    def prepare_folder(self, folder):
        """A writable copy: the data are read-only here and were not where the answers were recorded."""
        if folder not in self.contexts:
            copy = self.directory / f"corpus-{len(self.contexts)}"
            subprocess.run(["cp", "-a", folder, copy], check=True)
            subprocess.run(["chmod", "-R", "u+w", copy], check=True)
            set_times(copy)
            self.contexts[folder] = copy
        return self.contexts[folder]

    def own_context(self, case, place):
        """A copy of the shared context with the Dockerfile and what else the case has in it."""
        options, copy = case["options"], place / "context"
        subprocess.run(["cp", "-a", self.own, copy], check=True)
        dockerfile = copy / options.get("dfname", "Dockerfile")
        dockerfile.write_text(self.text_of(case))
        if "dfignore" in options:
            (copy / f"{dockerfile.name}.dockerignore").write_text(options["dfignore"])
        if options.get("ignore") is not None:
            (copy / ".dockerignore").write_text(options["ignore"])
        for name, target in options.get("links", {}).items():
            (copy / name).symlink_to(target)
        set_times(copy)
        return copy, None if dockerfile.name.lower() == "dockerfile" else dockerfile

    def corpus_context(self, case, place):
        """The suite's folder, the Dockerfile beside it with its own ignore file."""
        context = self.prepare_folder(case["folder"])
        dockerfile = place / case["id"].rpartition("/")[2]
        dockerfile.write_text(self.text_of(case))
        ignore = context / f"{dockerfile.name}.dockerignore"
        if ignore.exists():
            shutil.copy(ignore, place)
        return context, dockerfile

    def text_of(self, case):
        return case["dockerfile"].replace(RECORDED_REGISTRY, self.registry)

    def build(self, case, place):
        options = case["options"]
        place.mkdir()
        context, dockerfile = (self.corpus_context if "folder" in case else self.own_context)(case, place)
        request = {"context": str(context), "dockerfile": str(dockerfile) if dockerfile else None, "image": f"oci:{place}/image",
                   "cache": str(self.directory / "cache"), "args": options.get("args", {}), "mirrors": self.mirrors,
                   "secrets": options.get("secret", {}), "target": options.get("target")}
        driver = self.drivers.get()
        try:
            return driver.ask(request)
        finally:
            self.drivers.put(driver)

    def end(self):
        while not self.drivers.empty():
            self.drivers.get().end()


def judge(workshop, case, place):
    """("ok" | "skip" | "run" | "bad", lines that say why)"""
    if not case["ok"] and (case["ok"] is None or NEEDS_NETWORK.search(case["error"] or "")):
        return "skip", []
    answer = workshop.build(case, place)
    try:
        if REFUSES_RUN in answer.get("error", ""):
            return "run", []
        if "error" in answer:
            said = answer["error"].replace(workshop.registry, RECORDED_REGISTRY)
            lines = list(compare_error(case, {"error": said})) if not case["ok"] else [f"error: {said}"]
        elif not case["ok"]:
            lines = [f"expected the error {sentence_of(case['error'])!r}, and it was built"]
        else:
            lines = list(compare_image(case, Image(place / "image"), workshop.registry))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return "bad" if lines else "ok", lines


def run_suite(workshop, suite, cases):
    results = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for folder in {case["folder"] for case in cases if "folder" in case}:
            workshop.prepare_folder(folder)
        places = [workshop.directory / f"{suite}-{number}" for number in range(len(cases))]
        judged = pool.map(lambda pair: judge(workshop, *pair), zip(cases, places))
        for case, (verdict, lines) in zip(cases, judged):
            results.append((case["id"], verdict, lines))
    return results


def settle(suite, results, differences):
    """Verdicts after the accepted differences; each of these must still be one."""
    settled = []
    for identity, verdict, lines in results:
        reason = next((reason for pattern, name, reason in differences
                       if fnmatch.fnmatchcase(suite, pattern) and fnmatch.fnmatchcase(identity, name)), None)
        if reason and verdict == "bad":
            verdict = "accepted"
        elif reason and verdict == "ok" and not reason.startswith("by chance"):
            verdict, lines = "bad", [f"listed as a difference, and does not differ: {reason}"]
        settled.append((identity, verdict, lines))
    return settled


def report(number, suite, results):
    count = {verdict: sum(1 for r in results if r[1] == verdict) for verdict in ("ok", "accepted", "bad", "skip", "run")}
    for identity, verdict, lines in results:
        if verdict == "bad":
            print(f"# {suite} {identity}")
            for line in lines[:6]:
                print("#    " + line.encode("utf-8", "backslashreplace").decode()[:600].replace("\n", "\\n"))
    print(f"{'ok' if count['bad'] == 0 else 'not ok'} {number} - builds {suite}: {count['ok']} as recorded, "
          f"{count['accepted']} accepted differences, {count['bad']} wrong, {count['skip']} need the network, {count['run']} need RUN")
    return count


def on_a_disk():
    """Where directories are as large as where the answers were recorded, which is in some: not so in memory."""
    return next((place for place in (tempfile.gettempdir(), "/var/tmp") if os.stat(place).st_blksize <= os.stat(place).st_size), None)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suites", nargs="*", default=SUITES)
    parser.add_argument("--only", default="*", help="pattern of case ids")
    arguments = parser.parse_args()
    for program in ("docker-registry", "skopeo", "zstd"):
        if not shutil.which(program):
            print(f"1..1\nok 1 - recorded builds # SKIP {program} is not installed")
            return
    if not ORACLE.is_dir() or not DRIVER.is_file() or not pathlib.Path("/bin/busybox").exists():
        print(f"1..1\nok 1 - recorded builds # SKIP {ORACLE}, {DRIVER} or busybox-static is not there")
        return
    if os.getuid():
        print("1..1\nok 1 - recorded builds # SKIP the recorded contexts hold a file that only root reads")
        return
    differences, total = read_differences(), {}
    print(f"1..{len(arguments.suites)}")
    with pushwright.temporary_directory(on_a_disk()) as directory, pushwright.registry(directory / "registry") as registry:
        workshop = Workshop(directory, registry)
        suites = {suite: [case for case in read_suite(suite) if fnmatch.fnmatch(case["id"], arguments.only)]
                  for suite in arguments.suites}
        workshop.mirror([case for cases in suites.values() for case in cases])
        for number, (suite, cases) in enumerate(suites.items(), 1):
            results = settle(suite, run_suite(workshop, suite, cases), differences)
            for verdict, count in report(number, suite, results).items():
                total[verdict] = total.get(verdict, 0) + count
        workshop.end()
    good, bad = total["ok"] + total["accepted"], total["bad"]
    print(f"dockerfile-builds: {good} passed, {bad} failed, {total['skip']} need the network, {total['run']} need RUN")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
