"""Images with and without RUN on a Debian of debootstrap, against buildah and BuildKit, in turns; memory, a context of many files, requests."""
import io
import os
import re
import shutil
import subprocess
import tarfile

from builders import Checkout, Function, Ours, peers
from debian_base import debian_base
from obtain import obtain
from pushwright import BIN, SKOPEO, Skip, registry, wait_until
from table import median
from tools import seconds_of

COLD, WARM, FILES = 3, 15, 100_000
LAYERS = 5
LARGE_BYTES = 1_000_000_000
REQUEST = re.compile(r'"(?:GET|HEAD|POST|PUT|PATCH|DELETE) /v2/([^ ]*) HTTP/1.1" \d+')


def hello(host, base="base"):
    return f"FROM {host}/{base}:1\nMAINTAINER Pushwright <hello@pushwright.dev>\nADD ./ /usr/share/nginx/html/\n"


def with_run(host, base="base"):
    return hello(host, base) + "RUN mkdir -p /srv/www && cp /usr/share/nginx/html/index.html /srv/www/ && ls /srv/www\n"


def push_base(host):
    """Into the registry; the bytes of its layer."""
    seconds_of([*SKOPEO, "copy", "-q", "--dest-tls-verify=false", f"oci:{debian_base()}:base", f"docker://{host}/base:1"])
    return max(path.stat().st_size for path in (debian_base() / "blobs/sha256").iterdir())


def push_large_base(directory, host):
    """The same with a layer of 1 GB on it, an eighth of it random."""
    layout = directory / "large"
    shutil.copytree(debian_base(), layout)
    seconds_of(["umoci", "unpack", "--image", f"{layout}:base", directory / "bundle"])
    with open(directory / "bundle/rootfs/large", "wb") as file:
        for _ in range(LARGE_BYTES // 1_000_000):
            file.write(os.urandom(125_000) + bytes(875_000))
    seconds_of(["umoci", "repack", "--image", f"{layout}:base", directory / "bundle"])
    shutil.rmtree(directory / "bundle")
    seconds_of([*SKOPEO, "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:base", f"docker://{host}/large:1"])
    shutil.rmtree(layout)


def push_layers(checkout):
    """The base with so many more layers on it that there are five."""
    folder = checkout.directory / "layers"
    folder.mkdir()
    copies = "".join(f"COPY Dockerfile /{number}\n" for number in range(1, LAYERS))
    (folder / "Dockerfile").write_text(f"FROM {checkout.host}/base:1\n{copies}")
    seconds_of([BIN / "pushwright", "build", "-q", "--push", "-t", f"{checkout.host}/layers:1", folder])


def version(package):
    return subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True).stdout.split("+")[0]


def rounds(builders, count, dockerfile, cold):
    """Median seconds of each, in turns."""
    took = {builder.name: [] for builder in builders}
    for _ in range(count):
        for builder in builders:
            if cold:
                builder.forget()
            took[builder.name].append(builder.build(dockerfile))
    return {name: median(times) for name, times in took.items()}


def compare(table, measure, times, parts, of_buildah=None):
    """Ours against the faster of them; and what the function takes, which has a limit of its own against buildah where one is given."""
    ms = {name: seconds * 1000 for name, seconds in times.items()}
    ours, function = ms.pop(Ours.name), ms.pop(Function.name, None)
    table.share_of_faster(measure, ours, ms, parts, "ms", 1)
    if function and of_buildah:
        table.share("the same by the function, from the git repository, against buildah", function, ms["buildah"], of_buildah, "ms", 1)
    elif function:
        table.add("the same by the function, from the git repository", f"{function:.1f} ms", f"{min(ms.values()) / function:.1f} times ours")


def speed(table, checkout, builders, size):
    host = checkout.host
    for builder in builders:  # from here on each one's repository holds the base's layer
        builder.build(with_run(host))
    cold = rounds(builders, COLD, hello(host), True)
    compare(table, f"hello, base of {size / 1e6:.0f} MB, nothing known of it; median of {COLD}", dict(cold), 4)
    found(table, checkout, min(seconds for name, seconds in cold.items() if name not in (Ours.name, Function.name)))
    compare(table, f"hello, the base known; median of {WARM}", rounds(builders, WARM, hello(host), False), 10, of_buildah=8)
    compare(table, f"with one RUN, nothing known; median of {COLD}", rounds(builders, COLD, with_run(host), True), 4)
    compare(table, f"with one RUN, the base known; median of {WARM}", rounds(builders, WARM, with_run(host), False), 8)


def found(table, checkout, faster):
    """A runner that comes up empty, while the index of the base's layer lies in the registry."""
    ours = Function(checkout, PUSHWRIGHT_REGISTRY_INDEX="1")
    ours.forget()
    ours.build(hello(checkout.host))
    times = []
    for _ in range(WARM):
        ours.forget()
        times.append(ours.build(hello(checkout.host)))
    table.share_of_faster(f"hello, the base's header index found in the registry; median of {WARM}", median(times) * 1000,
                          {"the faster of them, cold": faster * 1000}, 40, "ms", 1)
    appended(table, checkout, median(times))


def appended(table, checkout, ours):
    """A layer on a base is all that `crane append` does: no Dockerfile, no configuration, no look at the base."""
    measure = "the same against `crane append` of a finished layer"
    try:
        program = obtain("crane")
    except Skip as why:
        table.add(measure, f"{ours * 1000:.1f} ms", str(why))
        return
    layer, times = checkout.directory / "layer.tar", []
    for number in range(WARM):
        with tarfile.open(layer, "w") as tar:  # other content each time, as ours has
            entry = tarfile.TarInfo("usr/share/nginx/html/index.html")
            content = f"<h1>change {number}</h1>\n".encode()
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        image = f"{checkout.host}/crane:{number}"
        times.append(seconds_of([program, "append", "--insecure", "-b", f"{checkout.host}/base:1", "-f", layer, "-t", image])[0])
    crane = median(times)
    table.add(measure, f"{ours * 1000:.1f} ms", f"{crane * 1000:.1f} ms", "lower than the peer's", ours < crane)


def memory(table, checkout):
    ours, host = Function(checkout), checkout.host
    large_file = with_run(host) + "RUN head -c 125000000 /dev/urandom > /a && for n in 1 2 3 4 5 6 7 8; do cat /a; done > /b && rm /a\n"
    for measure, dockerfile, limit in (
            ("hello, nothing known: peak memory", hello(host), 8), ("the same on a base with a layer of 1 GB", hello(host, "large"), 8),
            ("with one RUN, nothing known: peak memory", with_run(host), 24), ("the same on a base with a layer of 1 GB", with_run(host, "large"), 24),
            ("a RUN that makes 1 GB: peak memory", large_file, 24)):
        ours.forget()
        table.at_most(measure, ours.peak(dockerfile) / 1e6, limit, "MB", 1)


def many_files(table, checkout, builders):
    folder = checkout.directory / "many"
    for number in range(FILES):
        place = folder / f"{number // 100:04}"
        if number % 100 == 0:
            place.mkdir(parents=True)
        (place / f"{number:06}.txt").write_text(f"file {number} of many\n")
    (folder / "Dockerfile").write_text(f"FROM {checkout.host}/base:1\nCOPY . /data/\n")
    ours, *others = builders
    took, peak = ours.build_folder(folder)
    times = {ours.name: took, **{builder.name: builder.build_folder(folder) for builder in others}}
    compare(table, f"a context of {FILES} small files, the base known, once", times, 3)
    table.add("of it peak memory", f"{peak / 1e6:.0f} MB", f"{others[-1].peak() / 1e6:.0f} MB")


def requests(table, checkout, log):
    """From the registry's log; builds that are remembered there for the comparison on a timer stand apart."""
    def seen(builder, base="base"):
        before = log.stat().st_size
        builder.build(hello(checkout.host, base))
        own = f'"GET /v2/function/manifests/{checkout.git("rev-parse", "HEAD")[:12]} '  # the bench's look at what was built
        wait_until(lambda: own in log.read_text()[before:], 5, "the registry's log")
        return len(REQUEST.findall(log.read_text()[before:])) - 1
    ours, remembering = Function(checkout), Function(checkout, remember=True)
    ours.forget()
    table.at_most("hello, nothing known, one base layer: requests", seen(ours), 9, "requests")
    push_layers(checkout)
    ours.build(hello(checkout.host, "layers"))  # from here on the repository holds these, too
    ours.forget()
    table.at_most(f"the same, {LAYERS} base layers: requests", seen(ours, "layers"), 8 + LAYERS, "requests")
    ours.build(hello(checkout.host))
    table.at_most("hello, one base layer, the base known: requests", seen(ours), 9, "requests")
    seen(remembering)
    table.at_most("the same, and the record of builds for the timer: requests", seen(remembering), 9, "requests")


def images(table, directory):
    with registry(directory / "registry") as host:
        size = push_base(host)
        checkout = Checkout(directory, host)
        ours = Ours(checkout)
        with peers(checkout) as others:
            table.add("the peers", "", f"buildah {version('buildah')}, docker.io {version('docker.io')} with BuildKit")
            speed(table, checkout, [ours, Function(checkout), *others], size)
            many_files(table, checkout, [ours, *others])
        requests(table, checkout, directory / "registry/registry.log")
        push_large_base(directory, host)
        memory(table, checkout)
