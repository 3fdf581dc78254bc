"""A registry that does what the first part of a repository's name says: it lies, breaks, redirects, stalls. As a mirror it
does so with what is below that part ("down/blob-good/web").

Everything else is as a registry should be, in memory. `seen` holds (method, path, authorization) of every request."""
import base64
import contextlib
import hashlib
import http.server
import json
import random
import re
import ssl
import threading
import urllib.parse

import loopback

SOME_DIGEST = "sha256:0b31b1c02ff458ad9b7b81cbdf8f028bd54699fa151f221d1e8de6817db93427"
CONTENT = bytes(ord("a") + i % 23 for i in range(200000))
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": []}).encode()
LOGIN = "Basic " + base64.b64encode(b"ann:open sesame").decode()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def error(code, message):
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


class Handler(loopback.Handler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", promise=None, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if promise is None else promise))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        if promise is not None and promise != len(body):
            self.drop()

    def drop(self):
        self.close_connection = True

    def handle_any(self):
        server = self.server
        length = int(self.headers.get("Content-Length", 0))
        if "/token-early/" in self.path and self.command == "PUT" and self.once("token-early"):
            # 401 while the body is still on its way, and nobody reads it.
            self.repository = "token-early/web"
            self.bearer(f"http://{server.address}/token/token-early")
            return self.drop()
        self.body = self.rfile.read(length)
        path = re.sub(r"^http://[^/]*", "", self.path)  # as a proxy is asked
        authorization = self.headers.get("Authorization")
        with server.lock:
            server.seen.append((self.command, path, authorization))
        if path.startswith("/token"):
            return self.token(path)
        if path.startswith("/elsewhere/"):
            return self.elsewhere(path)
        match = re.match(r"/v2/(([^/]+)/(?:[^/]+/)?web)/(manifests|blobs|referrers)/(.*)$", path)
        if not match:
            return self.answer(404)
        self.repository, self.scenario, kind, self.rest = match.groups()
        if not self.authorized(authorization):
            return None
        return getattr(self, kind)()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def once(self, scenario=None):
        """True the first time a scenario asks."""
        scenario = scenario or self.scenario
        with self.server.lock:
            first = scenario not in self.server.met
            self.server.met.add(scenario)
        return first

    # ---- who may enter ----

    def challenge(self, value):
        self.answer(401, error("UNAUTHORIZED", "authentication required"), WWW_Authenticate=value)

    def bearer(self, service):
        self.challenge(f'Bearer realm="{service}",service="fake",scope="repository:{self.repository}:pull,push"')

    def authorized(self, authorization):
        own = f"http://{self.server.address}/token/{self.scenario}"
        name = self.scenario
        if name == "challenge-none":
            self.answer(401)
            return False
        if name == "challenge-loop":
            self.bearer(own)
            return False
        if name == "basic" and authorization != LOGIN:
            self.challenge('Basic realm="fake"')
            return False
        if name == "challenge-elsewhere" and authorization != "Bearer good":
            self.bearer(f"http://{self.server.other.address}/token/{name}")
            return False
        if name == "tls-realm":
            self.bearer(f"http://{self.server.other.address}/token/{name}")
            return False
        if name.startswith("token"):
            return self.token_is_good(authorization, own)
        return True

    def token_is_good(self, authorization, service):
        with self.server.lock:
            left = self.server.tokens.get(authorization, 0)
            self.server.tokens[authorization] = left - 1
        if left <= 0:
            self.bearer(service)
        return left > 0

    def token(self, path):
        scenario = path.split("/")[2].split("?")[0]
        if scenario == "token-refused" or scenario in ("token-mount-refused", "token-announced-refused") and "/own:pull" in path:
            return self.answer(401, error("UNAUTHORIZED", "who are you"))
        if scenario == "token-missing":
            return self.answer(200, b"{}")
        if scenario == "token-break":
            return self.answer(200, json.dumps({"token": "a\r\nX-Evil: 1"}).encode())
        with self.server.lock:
            token = "good" if scenario == "challenge-elsewhere" else f"t{len(self.server.tokens)}"
            self.server.tokens["Bearer " + token] = 2 if "expires" in scenario else 1000
        return self.answer(200, json.dumps({"token": token}).encode())

    # ---- manifests ----

    def manifests(self):
        if self.command == "PUT":
            return self.put_manifest()
        stored = self.server.manifests.get((self.repository, self.rest))
        pushing = self.scenario.split("-")[0] in ("upload", "put", "token", "denied", "referrers", "mount") or \
            self.scenario == "basic" and not stored and self.command == "HEAD"
        if self.scenario == "denied":
            return self.answer(403, error("DENIED", "not yours\u00e9"))
        if self.scenario == "mirror-empty":
            return self.answer(404)
        if pushing and not stored:
            return self.answer(404, error("MANIFEST_UNKNOWN", "manifest unknown"))
        return self.get_manifest(stored or MANIFEST)

    def get_manifest(self, body):
        kind, told = (INDEX_TYPE if b'"manifests"' in body else MANIFEST_TYPE), digest(body)
        name = self.scenario
        if name == "manifest-digest":
            told = SOME_DIGEST
        elif name == "manifest-other":
            told = SOME_DIGEST if self.command == "GET" else digest(b"x")
        elif name == "manifest-type":
            kind = INDEX_TYPE
        elif name == "manifest-large":
            body = b" " * (4 * 1024 * 1024 + 1)
        elif name == "manifest-garbage":
            body = b"<html>not json"
            told = digest(body)
        elif name == "manifest-silent" and self.command == "HEAD":
            return self.answer(200)
        elif name == "manifest-half":
            return self.answer(200, body[:20], promise=len(body), Content_Type=kind)
        elif name == "manifest-redirect":
            return self.answer(307, Location=f"http://{self.server.other.address}/elsewhere/manifest")
        elif name == "busy" or name == "busy-once" and self.once():
            return self.answer(429, error("TOOMANYREQUESTS", "slow down"), Retry_After="100" if name == "busy" else "1")
        elif name == "down":
            return self.answer(503)
        return self.answer(200, body, Content_Type=kind, Docker_Content_Digest=told)

    def put_manifest(self):
        if self.scenario == "put-busy-once" and self.once():
            return self.answer(429, error("TOOMANYREQUESTS", "slow down"), Retry_After="1")
        if self.scenario == "put-down-once" and self.once():
            return self.answer(502, b"<html>bad gateway")
        if self.scenario == "put-beside-another" and self.once():
            return self.answer(400, error("DIGEST_INVALID", "provided digest did not match uploaded content"))
        if self.scenario == "put-refused":
            return self.answer(400, error("MANIFEST_INVALID", "not like this"))
        with self.server.lock:
            self.server.manifests[(self.repository, self.rest)] = self.body
        told = SOME_DIGEST if self.scenario == "put-other" else digest(self.body)
        about = json.loads(self.body).get("subject")
        subject = {"OCI_Subject": about["digest"]} if about and self.scenario == "referrers" else {}
        self.answer(201, Location="/somewhere", Docker_Content_Digest=told, **subject)

    def referrers(self):
        """One on a page, so that whoever lists them must follow the links."""
        if self.scenario == "referrers-unknown":
            return self.answer(404)
        subject, _, query = self.rest.partition("?")
        kind = re.search("artifactType=([^&]*)", query)
        found = [(name, body, manifest) for (repository, name), body in sorted(self.server.manifests.items())
                 for manifest in [json.loads(body)]
                 if repository == self.repository and manifest.get("subject", {}).get("digest") == subject
                 and (not kind or manifest["artifactType"] == urllib.parse.unquote(kind.group(1)))]
        page = int((re.search(r"page=(\d+)", query) or [0, 0])[1])
        listed = [{"mediaType": MANIFEST_TYPE, "digest": name, "size": len(body), "artifactType": manifest["artifactType"],
                   "annotations": manifest["annotations"]} for name, body, manifest in found[page:page + 1]]
        more = {}
        if page + 1 < len(found):
            kept = re.sub("&?page=[0-9]+", "", query)
            more = {"Link": f'</v2/{self.repository}/referrers/{subject}?{kept}&page={page + 1}>; rel="next"'}
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": listed}).encode()
        return self.answer(200, body, Content_Type=INDEX_TYPE, **more)

    # ---- blobs ----

    def blobs(self):
        if self.scenario == "denied":
            return self.answer(403, error("DENIED", "not yours\u00e9"))
        if self.scenario in ("mirror-empty", "down"):
            return self.answer(404 if self.scenario == "mirror-empty" else 503)
        if self.rest.startswith("uploads/"):
            return {"POST": self.post, "PUT": self.put, "PATCH": self.patch, "GET": self.state}.get(
                self.command, lambda: self.answer(204))()
        if self.scenario.startswith(("blob", "mirror")) or self.scenario == "tls-redirect":
            return self.get_blob()
        stored = self.server.blobs.get((self.repository, self.rest))
        return self.answer(404) if stored is None else self.answer(200, stored)

    def get_blob(self):
        name = self.scenario
        if name == "blob-short":
            return self.answer(200, CONTENT[:-1])
        if name == "blob-long":
            return self.answer(200, CONTENT + b"x")
        if name == "blob-other":
            return self.answer(200, CONTENT[::-1])
        if name == "blob-broken" or name == "blob-broken-once" and self.once():
            return self.answer(200, CONTENT[:100001], promise=len(CONTENT))
        if name.startswith("blob-resume"):
            return self.get_rest()
        if name in ("blob-redirect", "tls-redirect"):
            return self.answer(307, Location=f"http://{self.server.other.address}/elsewhere/blob")
        if name == "blob-redirect-loop":
            return self.answer(307, Location=self.path)
        if name == "blob-redirect-file":
            return self.answer(307, Location="file://localhost/etc/passwd")
        return self.answer(200, CONTENT)

    def get_rest(self):
        """Breaks once, and goes on from where it is asked to, or from elsewhere."""
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not wanted:
            return self.answer(200, CONTENT[:100001], promise=len(CONTENT))
        start = int(wanted.group(1)) + {"blob-resume-beyond": 1, "blob-resume-before": -100}.get(self.scenario, 0)
        told = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        content = CONTENT[start:][::-1] if self.scenario == "blob-resume-other" else CONTENT[start:]
        return self.answer(206, content, Content_Range=told)

    def post(self):
        if self.scenario == "upload-down-once" and self.once():
            return self.answer(503, error("UNAVAILABLE", "soon"), Retry_After="1")
        if self.scenario == "mount-401" and "/own" in self.rest:
            return self.challenge('Basic realm="fake"')
        if "/own" in self.rest and self.scenario in ("token-mount", "token-announced"):
            return self.answer(201)
        if self.scenario == "upload-no-mount" and "mount=" in self.rest:
            return self.answer(405, error("UNSUPPORTED", "no mounts"))
        place = f"/v2/{self.repository}/blobs/uploads/{random.getrandbits(64):x}?state=x"
        if self.scenario == "upload-elsewhere":
            place = f"http://{self.server.other.address}/elsewhere/upload?sig=1"
        elif self.scenario == "upload-parts-elsewhere":
            place = f"http://{self.server.other.address}/elsewhere/parts?session={random.getrandbits(64):x}"
        elif self.scenario == "upload-nowhere":
            return self.answer(202)
        elif self.scenario != "upload-relative":  # "upload-downgraded" comes over TLS, and is told http as well
            place = f"http://{self.headers['Host']}{place}"
        return self.answer(202, Location=place)

    # ---- uploads in parts ----

    def session(self):
        with self.server.lock:
            return self.server.uploads.setdefault(re.split("[?&](?:state|digest)", self.path)[0], bytearray())

    def taken(self, status, content):
        self.answer(status, Location=re.split("[?&]state", self.path)[0] + "?state=" + str(len(content)),
                    Range=f"0-{max(len(content) - 1, 0)}")

    def state(self):
        if self.scenario == "upload-parts-lost":
            return self.answer(404, error("BLOB_UPLOAD_UNKNOWN", "unknown"))
        return self.taken(204, self.session())

    def patch(self):
        name, content = self.scenario, self.session()
        if name == "upload-parts-refused":
            return self.answer(405, error("UNSUPPORTED", "no parts"))
        first = int(self.headers["Content-Range"].split("-")[0])
        if first != len(content) or name == "upload-parts-416" and content and self.once():
            return self.answer(416, Range=f"0-{len(content) - 1}")
        if name in ("upload-parts-broken-once", "upload-parts-lost") and content and self.once():
            content += self.body[:7]
            return self.drop()
        if name == "upload-parts-broken" and content:
            return self.drop()
        content += self.body[:20] if name == "upload-parts-short" else self.body
        return self.taken(202, content)

    def put(self):
        if self.path.split("?")[0] in self.server.uploads:
            self.body = bytes(self.session())
        if self.scenario == "upload-broken" or self.scenario == "upload-broken-once" and self.once():
            return self.drop()
        if self.scenario == "upload-refused":
            return self.answer(400, error("DIGEST_INVALID", "provided digest did not match"))
        self.store(self.repository)
        return self.answer(201)

    def store(self, repository):
        name = re.search(r"[?&]digest=(sha256:[0-9a-f]+)", self.path).group(1)
        assert digest(self.body) == name
        with self.server.lock:
            self.server.blobs[(repository, name)] = self.body

    def elsewhere(self, path):
        if path.startswith("/elsewhere/parts"):
            return self.parts_elsewhere()
        if path.endswith("/blob"):
            return self.answer(200, CONTENT)
        if path.endswith("/manifest"):
            return self.answer(200, MANIFEST, Content_Type=MANIFEST_TYPE)
        self.store("elsewhere")
        return self.answer(201)

    def parts_elsewhere(self):
        key = re.search("session=([0-9a-f]+)", self.path).group(1)
        content = self.server.uploads.setdefault(key, bytearray())
        content += self.body
        if self.command == "PATCH":
            return self.answer(202, Location=self.path, Range=f"0-{len(content) - 1}")
        self.body = bytes(content)
        self.store("elsewhere")
        return self.answer(201)


def make_server(tls=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls[1], tls[0])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    server.address = "127.0.0.1:%d" % server.server_address[1]
    server.lock = threading.Lock()
    server.seen, server.met, server.tokens, server.manifests, server.blobs, server.uploads = [], set(), {}, {}, {}, {}
    return server


@contextlib.contextmanager
def faulty_registry(tls=None):
    """The registry, over TLS when given (key, certificate); `.other` is the host that it redirects to."""
    server, other = make_server(tls), make_server()
    server.other = other
    other.other = server
    threads = [threading.Thread(target=s.serve_forever, args=(0.05,)) for s in (server, other)]
    for thread in threads:
        thread.start()
    try:
        yield server
    finally:
        for s, thread in zip((server, other), threads):
            s.shutdown()
            s.server_close()
            thread.join()
