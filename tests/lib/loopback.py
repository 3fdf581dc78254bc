"""What the tests' own servers on loopback share: their answers go out at once, they print nothing, and end as soon as they are told to."""
import http.server
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    disable_nagle_algorithm = True  # or the body of an answer waits 40 ms for the acknowledgement of its head

    def log_message(self, *_):
        pass


def start(server):
    """In a thread of its own, until its shutdown()."""
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
