"""In front of a real API server, for faults alone: by plain http on loopback, each request goes on to the server unless `decide` says otherwise."""
import contextlib
import http.client
import http.server
import json
import ssl
import threading

HELD_BACK, LOST = "held back", "lost"  # the request, or its answer: the connection ends instead


class FaultyApi:
    """decide(method, path) gives None (go on), HELD_BACK, LOST, what is to be called before the answer is lost, or (status, {header: value}) to be
    said instead. `seen` has what was asked for. What is posted to `sink` is kept in `events`."""

    def __init__(self, cluster, decide=lambda method, path: None):
        self.cluster, self.decide, self.seen, self.events = cluster, decide, [], []
        front = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                front.seen.append((self.command, self.path))
                verdict = front.decide(self.command, self.path)
                if isinstance(verdict, tuple):
                    front.refuse(self, *verdict)
                elif verdict == HELD_BACK:
                    self.close_connection = True
                else:
                    take = front.accept if self.path == "/sink" else front.relay
                    take(self, body, lost=verdict)

            do_GET = do_PATCH = do_POST = answer

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.sink = self.url + "/sink"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def refuse(self, handler, status, headers):
        body = b'{"kind":"Status","apiVersion":"v1","status":"Failure","message":"a fault of the test","code":%d}' % status
        handler.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def lose(self, handler, how):
        if how != LOST:
            how()
        handler.close_connection = True

    def accept(self, handler, body, lost):
        self.events.append({"id": handler.headers["ce-id"], "type": handler.headers["ce-type"], "data": json.loads(body)})
        if lost:
            return self.lose(handler, lost)
        handler.send_response(202)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def relay(self, handler, body, lost):
        handler.close_connection = True  # unless all goes well
        connection = http.client.HTTPSConnection("127.0.0.1", self.cluster.port, timeout=600, context=self.context())
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            names = ("Authorization", "Content-Type", "Accept")
            connection.request(handler.command, handler.path, body or None, {n: handler.headers[n] for n in names if handler.headers[n]})
            answer = connection.getresponse()
            if lost:
                answer.read1(65536)
                return self.lose(handler, lost)
            handler.send_response(answer.status)
            for name in ("Content-Type", "Content-Length", "Retry-After"):
                if answer.headers[name]:
                    handler.send_header(name, answer.headers[name])
            if not answer.headers["Content-Length"]:
                handler.send_header("Connection", "close")
            handler.end_headers()
            while piece := answer.read1(65536):
                handler.wfile.write(piece)
            handler.close_connection = not answer.headers["Content-Length"]

    def context(self):
        return ssl.create_default_context(cafile=self.cluster.ca)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
