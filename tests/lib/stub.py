#!/usr/bin/env python3
"""A function that does as it is told: the manifest of a real one, answers from a file. The local chain takes it for the real one.

Beside it lie NAME.json (its manifest), and as a test wishes NAME.answer (status and reason, read at each event), NAME.crash (the last words of a
process that ends at once). It leaves NAME.got (a line an event) and NAME.environment.
"""
import http.server
import json
import os
import pathlib
import signal
import socketserver
import sys

me = pathlib.Path(sys.argv[0])


def beside(suffix):
    return me.with_name(me.name + suffix)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "local"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200)

    def do_POST(self):
        event = self.rfile.read(int(self.headers["Content-Length"]))
        with open(beside(".got"), "ab") as got:
            got.write(event + b"\n")
        status, _, reason = (beside(".answer").read_text() if beside(".answer").exists() else "202").partition(" ")
        problem = json.dumps({"title": "refused", "status": int(status), "detail": reason}).encode()
        self.answer(int(status), problem if reason else b"", "application/problem+json")


if sys.argv[1:] == ["--manifest"]:
    print(beside(".json").read_text())
    sys.exit()
if beside(".crash").exists():
    print(json.dumps({"severity": "CRITICAL", "message": beside(".crash").read_text()}), flush=True)
    sys.exit(1)
beside(".environment").write_text("\n".join(f"{name}={value}" for name, value in os.environ.items()))
path = os.environ["PUSHWRIGHT_LISTEN"].removeprefix("unix:")
pathlib.Path(path).unlink(missing_ok=True)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
Server(path, Handler).serve_forever()
