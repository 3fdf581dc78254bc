"""CDEvents 0.5.1: what our functions give validates against the published schemas, and what others give comes through unharmed.

The schemas use a small part of JSON Schema 2020-12, which is implemented below; that it can say no is part of the test."""
import base64
import copy
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import pushwright

DATA = pushwright.CONFORMANCE / "cdevents"
SPEC = DATA / "v0.5.1"
FUNCTION = pushwright.BIN / "trigger"
SCAFFOLD = pushwright.BIN.parent / "tests/unit/runtime/scaffold_test"

# --- JSON Schema, as far as the schemas go ----------------------------------------------------------------------------------

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def is_uri_reference(text):
    return not re.search(r'[\s<>"{}|\\^`]', text) and bool(urllib.parse.urlsplit(text) or True)


def is_time(text):
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", text):
        return False
    datetime.datetime.strptime(text[:19].upper(), "%Y-%m-%dT%H:%M:%S")
    return True


FORMATS = {"uri-reference": is_uri_reference, "date-time": is_time,
           "uri": lambda text: is_uri_reference(text) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text) is not None}
IGNORED = {"$schema", "$id", "default", "description", "contentEncoding", "title", "example", "examples"}


def is_type(value, name):
    if name in ("number", "integer"):
        return isinstance(value, int if name == "integer" else (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


class Schemas:
    def __init__(self, folder):
        self.by_id = {}
        for path in sorted(folder.rglob("*.json")):
            schema = json.loads(path.read_text(encoding="utf-8"))
            if "$id" in schema:
                self.by_id[schema["$id"]] = schema

    def by_type(self, event_type):
        """The schema whose context.type lists it; the custom one for the rest."""
        for schema in self.by_id.values():
            if event_type in schema.get("properties", {}).get("context", {}).get("properties", {}).get("type", {}).get("enum", []):
                return schema
        return self.by_id[next(i for i in self.by_id if i.endswith("/custom"))]

    def errors(self, value, schema, base, at="$"):
        base = urllib.parse.urljoin(base, schema.get("$id", ""))
        for word, argument in schema.items():
            if word in IGNORED:
                continue
            yield from getattr(self, "check_" + word.replace("$", ""))(value, argument, schema, base, at)

    def valid(self, value, schema, base):
        return not any(True for _ in self.errors(value, schema, base))

    def check_ref(self, value, argument, _, base, at):
        target = urllib.parse.urljoin(base, argument)
        if target not in self.by_id:
            raise KeyError(f"schema {target} is not there")
        yield from self.errors(value, self.by_id[target], target, at)

    def check_type(self, value, argument, _schema, _base, at):
        names = argument if isinstance(argument, list) else [argument]
        if not any(is_type(value, name) for name in names):
            yield f"{at}: not of type {argument}"

    def check_required(self, value, argument, _schema, _base, at):
        if isinstance(value, dict):
            for name in argument:
                if name not in value:
                    yield f"{at}: '{name}' is missing"

    def check_properties(self, value, argument, _, base, at):
        if isinstance(value, dict):
            for name, schema in argument.items():
                if name in value:
                    yield from self.errors(value[name], schema, base, f"{at}.{name}")

    def check_additionalProperties(self, value, argument, schema, base, at):
        if not isinstance(value, dict):
            return
        for name in value.keys() - schema.get("properties", {}).keys():
            if argument is False:
                yield f"{at}: '{name}' is not allowed"
            elif isinstance(argument, dict):
                yield from self.errors(value[name], argument, base, f"{at}.{name}")

    def check_items(self, value, argument, _, base, at):
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from self.errors(item, argument, base, f"{at}[{index}]")

    def check_enum(self, value, argument, _schema, _base, at):
        if value not in argument:
            yield f"{at}: {value!r} is none of {argument}"

    def check_const(self, value, argument, _schema, _base, at):
        if value != argument:
            yield f"{at}: {value!r} is not {argument!r}"

    def check_pattern(self, value, argument, _schema, _base, at):
        if isinstance(value, str) and not re.search(argument, value):
            yield f"{at}: {value!r} does not match {argument}"

    def check_minLength(self, value, argument, _schema, _base, at):
        if isinstance(value, str) and len(value) < argument:
            yield f"{at}: shorter than {argument}"

    def check_minItems(self, value, argument, _schema, _base, at):
        if isinstance(value, list) and len(value) < argument:
            yield f"{at}: fewer than {argument}"

    def check_format(self, value, argument, _schema, _base, at):
        if isinstance(value, str):
            try:
                good = FORMATS[argument](value)
            except ValueError:
                good = False
            if not good:
                yield f"{at}: {value!r} is no {argument}"

    def check_anyOf(self, value, argument, _, base, at):
        if not any(self.valid(value, schema, base) for schema in argument):
            yield f"{at}: fits none of the alternatives"

    def check_oneOf(self, value, argument, _, base, at):
        if sum(self.valid(value, schema, base) for schema in argument) != 1:
            yield f"{at}: does not fit exactly one alternative"

    def check_allOf(self, value, argument, _, base, at):
        for schema in argument:
            yield from self.errors(value, schema, base, at)


# --- cases -------------------------------------------------------------------------------------------------------------------

def problem_of(schemas, event):
    """The first thing wrong with a CDEvent, or None."""
    schema = schemas.by_type(event.get("context", {}).get("type"))
    return next(schemas.errors(event, schema, schema["$id"]), None)


def says_no(schemas, event):
    """Every example with one thing broken must be refused."""
    broken = [(("context", "id"), ""), (("context", "timestamp"), "2026-01-01"), (("context", "type"), "dev.cdevents.no.such.0.0.0"),
              (("context", "extra"), 1), (("subject", "id"), ""), (("subject", "content"), []), (("customData",), 5)]
    for path, value in broken:
        other = copy.deepcopy(event)
        place = other
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value
        if problem_of(schemas, other) is None:
            return f"accepted with {'.'.join(path)} = {value!r}"
    for name in ("context", "subject"):
        if problem_of(schemas, {k: v for k, v in event.items() if k != name}) is None:
            return f"accepted without {name}"
    return None


def relayed(directory, text, event):
    """An event with these data decoded and encoded by a function: the bytes must be the same."""
    path = directory / "event.json"
    context = event["context"]
    envelope = {"specversion": "1.0", "id": context["id"], "source": context["source"], "type": context["type"],
                "subject": event["subject"]["id"], "time": context["timestamp"], "datacontenttype": "application/json"}
    path.write_text(json.dumps(envelope)[:-1] + ',"data":' + text.strip() + "}", encoding="utf-8")
    run = subprocess.run([FUNCTION, "--check-event", path], capture_output=True, timeout=60)
    if run.returncode != 0:
        return run.stderr.decode()
    return None if text.strip().encode() in run.stdout else "the data's bytes were changed"


def produced(program, event, directory, config=None):
    """What a function gives when it is run once on an event."""
    path = directory / "in.json"
    path.write_text(json.dumps(event))
    environment = {"PATH": os.environ.get("PATH", ""), "PUSHWRIGHT_CHAIN_KEY": "0123456789abcdef0123456789abcdef", "PUSHWRIGHT_TRUST_PLATFORM": "1"}
    if config:
        (directory / "pushwright.json").write_text(json.dumps(config))
        environment["PUSHWRIGHT_CONFIG"] = str(directory / "pushwright.json")
    run = subprocess.run([*program, "--event", path], capture_output=True, text=True, timeout=60, env=environment)
    if run.returncode != 0:
        raise AssertionError(f"exit code {run.returncode}: {run.stderr}")
    return [json.loads(line) for line in run.stdout.splitlines()]


def problem_of_envelope(schemas, event, parent):
    """The CloudEvents binding: attributes and data say the same, the chain goes on."""
    cdevent = event["data"]
    context = cdevent["context"]
    pairs = [("id", context["id"]), ("source", context["source"]), ("type", context["type"]), ("subject", cdevent["subject"]["id"]),
             ("time", context["timestamp"]), ("datacontenttype", "application/json"), ("correlationid", context["chainId"]),
             ("causationid", parent["id"])]
    for name, value in pairs:
        if event.get(name) != value:
            return f"attribute {name} is {event.get(name)!r}, the data say {value!r}"
    if {"linkType": "RELATION", "linkKind": "TRIGGER", "target": {"contextId": parent["id"]}} not in context.get("links", []):
        return "no link to the parent"
    scheme, _, mac = event.get("pushwrightsig", "").partition(",")
    if scheme != "v1" or len(base64.b64decode(mac)) != 32:
        return "it is not signed"
    return problem_of(schemas, cdevent)


def run_of(program, parent_type, parent_subject, content, config, wanted):
    def case(schemas, directory):
        parent = {"specversion": "1.0", "id": "parent-1", "source": "https://ci.example/fn/before", "type": parent_type, "subject": parent_subject,
                  "datacontenttype": "application/json",
                  "data": {"context": {"specversion": "0.5.1", "id": "parent-1", "source": "https://ci.example/fn/before", "type": parent_type,
                                       "timestamp": "2026-09-01T12:00:00Z", "chainId": "4c8cb7dd-3448-41de-8768-eec704e2829b"},
                           "subject": {"id": parent_subject, "content": content}}}
        events = produced(program, parent, directory, config)
        if [e["type"] for e in events] != wanted:
            return f"gave {[e['type'] for e in events]} instead of {wanted}"
        again = produced(program, parent, directory, config)
        if [e["id"] for e in again] != [e["id"] for e in events]:
            return "a retry gave other ids"
        if any(e["data"]["context"]["chainId"] != parent["data"]["context"]["chainId"] for e in events):
            return "the chain id was lost"
        return next((p for e in events if (p := problem_of_envelope(schemas, e, parent))), None)
    return case


CONFIG = {"triggers": [{"name": "t", "image": "registry.invalid/acme/web", "when": {"tags": "all"},
                        "deploy": [{"cluster": "local", "workload": "web"}]}]}
OTHER_IMAGE = ("pkg:oci/other@sha256%3A0b31b1c02ff458ad9b7b81cbdf8f028bd54699fa151f221d1e8de6817db93427"
               "?repository_url=registry.invalid%2Facme%2Fother")


def cases():
    """(name, test or None, why it is skipped)."""
    for path in [*sorted((SPEC / "conformance").glob("*.json")), SPEC / "custom/conformance.json", *sorted((DATA / "mapping-examples").glob("*.json"))]:
        text = path.read_text(encoding="utf-8")
        event = json.loads(text)
        name = f"{path.parent.name}/{path.stem}"
        yield f"{name} validates", lambda s, _, e=event: problem_of(s, e), None
        yield f"{name} broken does not", lambda s, _, e=event: says_no(s, e), None
        yield (f"{name} is relayed byte for byte", lambda _, d, t=text, e=event: relayed(d, t, e),
               None if FUNCTION.is_file() else f"{FUNCTION} is not built")
    yield ("trigger says why it skips an image without a tag",
           run_of([FUNCTION], "dev.cdevents.artifact.published.0.3.0", OTHER_IMAGE, {}, CONFIG, ["dev.cdeventsx.pushwright-decision.skipped.0.1.0"]),
           None if FUNCTION.is_file() else f"{FUNCTION} is not built")
    yield ("the scaffold's function gives a CDEvent",
           run_of([SCAFFOLD, "function"], "dev.cdevents.service.upgraded.0.3.0", "deployment/web",
                  {"environment": {"id": "prod"}, "artifactId": "pkg:oci/web"}, None, ["dev.cdeventsx.example-announcement.made.0.1.0"]),
           None if SCAFFOLD.is_file() else f"{SCAFFOLD} is not built")


def verdict(case, schemas, directory):
    try:
        return case(schemas, directory)
    except Exception as error:  # a broken case fails, the others still run
        return f"{type(error).__name__}: {error}"


def main():
    if not SPEC.is_dir():
        print(f"1..1\nok 1 - CDEvents # SKIP {SPEC} is not there\ncdevents: 0 passed, 0 failed, 1 skipped")
        return 0
    schemas = Schemas(SPEC)
    all_cases = list(cases())
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    print(f"1..{len(all_cases)}")
    with pushwright.temporary_directory() as directory:
        for number, (name, case, why) in enumerate(all_cases, 1):
            problem = None if why else verdict(case, schemas, directory)
            counts["skipped" if why else "failed" if problem else "passed"] += 1
            print(f"{'not ok' if problem else 'ok'} {number} - {name}" + (f" # SKIP {why}" if why else ""))
            if problem:
                print(f"# {name}: {problem}")
    print("cdevents: " + ", ".join(f"{count} {word}" for word, count in counts.items()))
    return 1 if counts["failed"] else 0


sys.exit(main())
