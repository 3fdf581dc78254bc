#!/usr/bin/env python3
"""git repositories over smart HTTP, for tests: `git http-backend` behind Python's server.

    git_http.py DIRECTORY [PEM]    serves DIRECTORY/NAME.git, prints "port N", and with a certificate and its key in one file
                                   a second "port N" for https; ends when its standard input ends

    /NAME.git          open to everyone
    /private/NAME.git  basic authentication, any user with the password "sesame"; other passwords are refused for ever
    /moved/NAME.git    redirected to /NAME.git
    /away/NAME.git     redirected to another host name
    /status/N/...      answered with that status
"""
import base64
import http.server
import os
import re
import ssl
import subprocess
import sys

import loopback

TOKEN = "sesame"


class Handler(loopback.Handler):
    protocol_version = "HTTP/1.1"
    seen = []

    def answer(self, status, headers=(), body=b""):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def authorized(self):
        kind, _, value = self.headers.get("Authorization", "").partition(" ")
        return kind == "Basic" and base64.b64decode(value).decode().partition(":")[2] == TOKEN

    def serve(self):
        data = self.body()
        path, _, query = self.path.partition("?")
        Handler.seen.append((self.command, self.path, self.headers.get("Authorization")))
        first, _, rest = path[1:].partition("/")
        if first == "status":
            return self.answer(int(rest.partition("/")[0]))
        if first in ("moved", "away"):
            port = self.server.server_address[1]
            host = "127.0.0.1" if first == "moved" else "localhost"
            return self.answer(302, [("Location", f"http://{host}:{port}/{rest}" + ("?" + query if query else ""))])
        if first == "private":
            if not self.authorized():
                return self.answer(401, [("WWW-Authenticate", 'Basic realm="test"')])
            path = "/" + rest
        return self.backend(path, query, data)

    def backend(self, path, query, data):
        environment = dict(os.environ, GIT_PROJECT_ROOT=self.server.root, GIT_HTTP_EXPORT_ALL="1", PATH_INFO=path,
                           QUERY_STRING=query, REQUEST_METHOD=self.command, REMOTE_ADDR="127.0.0.1",
                           CONTENT_TYPE=self.headers.get("Content-Type", ""), CONTENT_LENGTH=str(len(data)),
                           HTTP_CONTENT_ENCODING=self.headers.get("Content-Encoding", ""),
                           GIT_PROTOCOL=self.headers.get("Git-Protocol", ""), GIT_CONFIG_COUNT="1",
                           GIT_CONFIG_KEY_0="safe.directory", GIT_CONFIG_VALUE_0="*")
        result = subprocess.run(["git", "http-backend"], input=data, env=environment, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL)
        head, _, body = result.stdout.partition(b"\r\n\r\n")
        status, headers = 200, []
        for line in head.decode().splitlines():
            name, _, value = line.partition(": ")
            if name == "Status":
                status = int(re.match(r"\d+", value).group())
            else:
                headers.append((name, value))
        self.answer(status, headers, body)

    do_GET = do_POST = serve


def start(root, certificate=None):
    """A server in a thread of its own; .server_address[1] is its port, .shutdown() ends it."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.root = os.path.abspath(root)
    server.daemon_threads = True
    loopback.start(server)
    return server


if __name__ == "__main__":
    print("port", start(sys.argv[1]).server_address[1], flush=True)
    if len(sys.argv) > 2:
        print("port", start(sys.argv[1], sys.argv[2]).server_address[1], flush=True)
    sys.stdin.read()
