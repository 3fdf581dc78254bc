"""What the tests of webhook share: a next hop that remembers, signatures, requests sent exactly as told."""
import base64
import contextlib
import hashlib
import hmac
import http.client
import http.server
import json
import os
import subprocess
import time

import loopback
import pushwright


class Sink:
    """A next hop in memory, binary mode. `answers` are the statuses of the next requests, or pairs with a Retry-After, then 202."""

    def __init__(self):
        sink = self
        self.events, self.answers = [], []

        class Handler(loopback.Handler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                data = self.rfile.read(int(self.headers["Content-Length"]))
                status = sink.answers.pop(0) if sink.answers else 202
                status, later = status if isinstance(status, tuple) else (status, None)
                if status < 300:
                    sink.events.append({"type": self.headers["ce-type"], "id": self.headers["ce-id"],
                                        "headers": dict(self.headers), "data": json.loads(data)})
                self.send_response(status)
                if later:
                    self.send_header("Retry-After", str(later))
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        loopback.start(self.server)

    def take(self):
        events, self.events = self.events, []
        return events


def mac(body, secret):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def standard_webhook(body, secret, at=None, name="msg_1"):
    """The headers of the Standard Webhooks scheme, GitLab's signing token."""
    at = str(int(time.time()) if at is None else at)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    value = base64.b64encode(hmac.new(key, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()).decode()
    return {"webhook-id": name, "webhook-timestamp": at, "webhook-signature": "v1," + value}


@contextlib.contextmanager
def webhook(config, sink_url, environment=None, log=subprocess.DEVNULL):
    """The shipped function with a configuration; gives its port, and its process as an attribute of that."""
    class Port(int):
        process = None
    with pushwright.temporary_directory() as directory:
        file, port = directory / "pushwright.json", Port(pushwright.free_port())
        file.write_text(json.dumps(config))
        settings = {**os.environ, "PUSHWRIGHT_CONFIG": str(file), "PUSHWRIGHT_LISTEN": f"127.0.0.1:{port}",
                    "PUSHWRIGHT_SINK": sink_url, "PUSHWRIGHT_CHAIN_KEY": "k" * 32, **(environment or {})}
        settings.pop("K_SINK", None)
        with pushwright.process([pushwright.BIN / "webhook"], ready=lambda: pushwright.port_open(port), env=settings,
                                stdout=log) as child:
            port.process = child
            yield port


def post(port, path, body, headers, method="POST", seconds=60):
    """One request, header lines as the list says, doubled ones too; text goes out as Latin-1, as it came from the bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=seconds)
    try:
        connection.putrequest(method, path)
        for name, value in headers:
            connection.putheader(name, value.encode("latin-1"))
        if not any(name.lower() == "content-length" for name, _ in headers):
            connection.putheader("Content-Length", str(len(body)))
        with contextlib.suppress(ConnectionError):  # refused before all of it was sent: the answer is there nevertheless
            connection.endheaders(body)
        answer = connection.getresponse()
        return pushwright.Answer(answer.status, answer.headers, answer.read())
    finally:
        connection.close()
