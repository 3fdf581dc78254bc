"""HTTP/1.1 as it goes over the wire, on one connection: what follows a head that has no body would be taken for the next answer."""
import socket


class Heard:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")


class Connection:
    """To a port of this machine, or to a socket's path."""

    def __init__(self, address, seconds=30):
        is_port = isinstance(address, int)
        self.socket = socket.socket(socket.AF_INET if is_port else socket.AF_UNIX)
        self.socket.settimeout(seconds)
        self.socket.connect(("127.0.0.1", address) if is_port else str(address))
        self.file = self.socket.makefile("rb")

    def send(self, method, path, body=None, headers=()):
        lines = [f"{method} {path} HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in dict(headers).items())]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode() + (body or b""))

    def answer(self, has_body=True):
        line = self.file.readline()
        assert line.startswith(b"HTTP/1.1 "), line
        headers = {}
        while (field := self.file.readline().strip()):
            name, _, value = field.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = self.file.read(int(headers.get("content-length", 0))) if has_body else b""
        return Heard(int(line.split()[1]), headers, body)

    def ask(self, method, path, body=None, headers=()):
        self.send(method, path, body, headers)
        return self.answer(has_body=method != "HEAD")

    def close(self):
        self.file.close()
        self.socket.close()
