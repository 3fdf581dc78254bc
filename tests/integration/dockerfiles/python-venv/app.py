import os

import bottle


@bottle.route("/")
def index():
    return f"bottle {bottle.__version__} as {os.getuid()} in {os.getcwd()} with {sorted(os.listdir('.'))}\n"


bottle.run(host="127.0.0.1", port=int(os.environ["PORT"]), quiet=True)
