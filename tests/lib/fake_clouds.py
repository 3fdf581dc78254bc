"""The services through which Amazon, Google and Azure give credentials to what runs there, and a registry that takes them.

All in one server, told apart by path and headers. `mood` makes one of them fail; `seen` holds what was asked, in order."""
import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import re
import threading
import urllib.parse

from faulty_registry import MANIFEST, MANIFEST_TYPE, digest
import loopback

KEY_ID, SECRET_KEY, SESSION = "AKIDEXAMPLE", "s3cret/key", "s3cret-session"
TOKEN = "s3cret-token"
XML = ("<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{}</AccessKeyId>"
       "<SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken><Expiration>2026-01-01T00:00:00Z</Expiration>"
       "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>")


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def signature(handler, region):
    """Signature Version 4 of what came, computed anew; the header that should have been sent."""
    given = handler.headers["Authorization"]
    names = re.search("SignedHeaders=([^,]*)", given).group(1)
    canonical = "\n".join([handler.command, "/", "", *(f"{n}:{handler.headers[n]}" for n in names.split(";")), "", names,
                           hashlib.sha256(handler.body).hexdigest()])
    time = handler.headers["x-amz-date"]
    scope = f"{time[:8]}/{region}/ecr/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", time, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + SECRET_KEY).encode()
    for part in (time[:8], region, "ecr", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    assert {"host", "x-amz-date", "x-amz-target"} <= set(names.split(";")), names
    return f"AWS4-HMAC-SHA256 Credential={KEY_ID}/{scope}, SignedHeaders={names}, " \
           f"Signature={hmac.digest(key, text.encode(), 'sha256').hex()}"


class Handler(loopback.Handler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", **headers):
        if not isinstance(body, bytes):
            body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_any(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        form = urllib.parse.parse_qsl(self.body.decode("latin-1"))
        self.form = dict(form)
        assert len(self.form) == len(form), f"RFC 6749, 3.2: a parameter comes twice: {form}"
        path, _, query = self.path.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query))
        name = next((name for pattern, name in ROUTES if re.fullmatch(pattern, path)), None)
        if path == "/":
            name = "sts" if "Action" in self.form else "ecr"
        server = self.server
        with server.lock:
            server.seen.append(name or path)
            count = server.seen.count(name)
        if name is None:
            return self.answer(404)
        if server.mood == f"{name}-fails":
            return self.answer(403, {"error": "invalid_grant", "error_description": "no, not you"})
        if server.mood == f"{name}-garbage":
            return self.answer(200, "<html>")
        if server.mood == f"{name}-empty":
            return self.answer(200, {})
        return getattr(self, name)(path, count)

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    # ---- the registry ----

    def registry(self, path, _):
        repository = path.split("/manifests/")[0].removeprefix("/v2/")
        if self.headers.get("Authorization") not in self.server.good:
            realm = f"http://{self.server.address}" if self.server.mood != "realm-elsewhere" else "http://localhost:1"
            bearer = f'Bearer realm="{realm}/oauth2/token",service="fake",scope="repository:{repository}:pull"'
            return self.answer(401, WWW_Authenticate='Basic realm="fake"' if self.server.wants == "basic" else bearer)
        self.server.served += 1
        if self.server.mood == "takes-back" and self.server.served == 2:
            self.server.good.clear()
        return self.answer(200, MANIFEST, Content_Type=MANIFEST_TYPE, Docker_Content_Digest=digest(MANIFEST))

    # ---- Amazon ----

    def ecr(self, _, count):
        if self.headers["Authorization"] != signature(self, "eu-west-1"):
            return self.answer(403, {"__type": "InvalidSignatureException", "message": "the signature does not match"})
        if self.server.session and self.headers["x-amz-security-token"] != SESSION:
            return self.answer(400, {"__type": "UnrecognizedClientException", "message": "no session"})
        password = f"s3cret-{count}"
        self.server.good.add(basic("AWS", password))
        data = {"authorizationToken": basic("AWS", password).removeprefix("Basic "), "expiresAt": 1.9e9}
        return self.answer(200, {"authorizationData": [data]})

    def sts(self, *_):
        assert self.form["Action"] == "AssumeRoleWithWebIdentity" and self.form["RoleArn"] == "arn:aws:iam::1:role/x"
        return self.answer(200, XML.format(KEY_ID, SECRET_KEY, SESSION)) if self.form["WebIdentityToken"] == TOKEN \
            else self.answer(400, "<ErrorResponse/>")

    def keys(self):
        self.answer(200, {"Code": "Success", "AccessKeyId": KEY_ID, "SecretAccessKey": SECRET_KEY, "Token": SESSION})

    def container(self, *_):
        return self.keys() if self.headers["Authorization"] == TOKEN else self.answer(401)

    def imds_token(self, *_):
        assert self.command == "PUT" and int(self.headers["X-aws-ec2-metadata-token-ttl-seconds"]) > 0
        self.answer(200, "imds")

    def imds_roles(self, *_):
        self.answer(200, "builder\n") if self.headers["X-aws-ec2-metadata-token"] == "imds" else self.answer(401)

    def imds_keys(self, *_):
        self.keys() if self.headers["X-aws-ec2-metadata-token"] == "imds" else self.answer(401)

    # ---- Google ----

    def google_metadata(self, *_):
        assert self.headers["Metadata-Flavor"] == "Google"
        self.google_token("s3cret-machine")

    def google_token(self, token):
        self.server.good.add(basic("oauth2accesstoken", token))
        self.answer(200, {"access_token": token, "expires_in": 3599, "token_type": "Bearer"})

    def google_exchange(self, *_):
        assert self.form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange", self.form
        assert self.form["audience"] == "//iam/pool" and self.form["scope"].endswith("/cloud-platform"), self.form
        return self.google_token("s3cret-federated") if self.form["subject_token"] == TOKEN \
            else self.answer(400, {"error": "invalid_grant"})

    def google_impersonate(self, *_):
        assert self.headers["Authorization"] == "Bearer s3cret-federated"
        self.server.good = {basic("oauth2accesstoken", "s3cret-acting")}
        self.answer(200, {"accessToken": "s3cret-acting", "expireTime": "2099-01-01T00:00:00Z"})

    # ---- Azure ----

    def entra(self, *_):
        proof = self.form.get("client_assertion", self.form.get("client_secret"))
        assert self.form["scope"] == "https://management.azure.com/.default" and self.form["client_id"] == "app"
        return self.answer(200, {"access_token": "s3cret-entra", "expires_in": 3599}) if proof == TOKEN \
            else self.answer(401, {"error": "invalid_client", "error_description": "AADSTS700016"})

    def identity(self, *_):
        assert self.query["resource"] == "https://management.azure.com/", self.query
        return self.answer(200, {"access_token": "s3cret-entra", "expires_in": "3599"}) \
            if self.headers["X-IDENTITY-HEADER"] == TOKEN else self.answer(401)

    def exchange(self, *_):
        assert self.form["grant_type"] == "access_token" and self.form["service"] == self.server.address
        return self.answer(200, {"refresh_token": "s3cret-refresh"}) if self.form["access_token"] == "s3cret-entra" \
            else self.answer(401)

    def token(self, *_):
        if self.form["refresh_token"] != "s3cret-refresh":
            return self.answer(401)
        self.server.good.add("Bearer s3cret-bearer")
        return self.answer(200, {"access_token": "s3cret-bearer"})


ROUTES = [(r"/v2/.+/manifests/.+", "registry"), (r"/v1/credentials", "container"), (r"/latest/api/token", "imds_token"),
          (r"/latest/meta-data/iam/security-credentials/", "imds_roles"),
          (r"/latest/meta-data/iam/security-credentials/builder", "imds_keys"),
          (r"/computeMetadata/v1/instance/service-accounts/default/token", "google_metadata"),
          (r"/v1/token", "google_exchange"), (r"/v1/projects/-/serviceAccounts/x:generateAccessToken", "google_impersonate"),
          (r"/tenant/oauth2/v2.0/token", "entra"), (r"/msi/token", "identity"), (r"/oauth2/exchange", "exchange"),
          (r"/oauth2/token", "token")]


@contextlib.contextmanager
def fake_clouds(wants="basic", mood="", session=True):
    """wants: what the registry asks for; session: Amazon's keys are short-lived ones."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.address = "127.0.0.1:%d" % server.server_address[1]
    server.lock, server.seen, server.good = threading.Lock(), [], set()
    server.served = 0
    server.wants, server.mood, server.session = wants, mood, session
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
