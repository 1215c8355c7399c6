"""Takes the pictures: of a server on the simulator with 12 subscribers, of a program with 12 consumers whose
upstream is down, and of the server's page in a terminal."""

import contextlib
import fcntl
import html
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "crates/serve/tests/browser"))
from check import Browser, Server, text_of  # noqa: E402

COLLECTIONS = ["app.bsky.feed.post", "app.bsky.feed.like", "app.bsky.graph.*", "app.bsky.feed.repost"]
QUERIES = ["", "compress=true", "compress=batch", "compress=stream", "format=binary", "cursor=0&compress=true"]
QUERIES += [f"wantedCollections={one}" for one in COLLECTIONS]
QUERIES += ["wantedCollections=app.bsky.feed.post&compress=true", "wantedCollections=app.bsky.actor.profile"]

TERMINAL = (120, 36)


class Simulated(Server):
    """The server on the simulator, with the interface of the example."""

    def __init__(self, program, log):
        command = [program, "--sim", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0",
                   "--report-every", "0s"]
        self.process = subprocess.Popen(command, stderr=log, env={**os.environ, "NO_COLOR": "1"})
        self.url = self.announced(log, r"a page to look at is at (http://\S+)")
        self.address = self.announced(log, r"subscribe at ws://([^/\s]+)")

    def announced(self, log, pattern):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = re.search(pattern, pathlib.Path(log.name).read_text())
            if found:
                return found[1]
            assert self.process.poll() is None, "the server has ended"
            time.sleep(0.1)
        raise AssertionError("the server does not start")


@contextlib.contextmanager
def subscribers(server, queries):
    """Subscribers in processes of their own, which take what comes."""
    url = f"http://{server.address}/events?"
    plain = [query for query in queries if "compress" not in query and "format" not in query]
    readers = [subprocess.Popen(["curl", "-sN", url + query], stdout=subprocess.DEVNULL) for query in plain]
    streams = [server.subscribe(query) for query in queries if query not in plain]
    for stream in streams:
        stream.setblocking(False)
    try:
        yield streams
    finally:
        for reader in readers:
            reader.kill()
            reader.wait()
        for stream in streams:
            stream.close()


def look_for(seconds, streams):
    """Waits, and reads what the sockets get meanwhile."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        for stream in select.select(streams, [], [], left)[0]:
            with contextlib.suppress(BlockingIOError):
                stream.recv(1 << 20)


def take(browser, folder, name, scheme="light", width=1280, height=900, streams=()):
    browser.scheme(scheme)
    browser.size(width, height, is_mobile=width < 600)
    look_for(2, streams)
    browser.picture(f"{folder}/{name}.png")
    print(f"{folder}/{name}.png", flush=True)


def simulated(browser, program, folder):
    with tempfile.NamedTemporaryFile() as log:
        server = Simulated(program, log)
        try:
            with subscribers(server, QUERIES) as streams:
                browser.size(1280, 900)
                browser.call("Page.navigate", url=server.url)
                browser.until("the stream is live", f"{text_of('stream')} === 'live'")
                browser.until("it is ready", f"{text_of('ready')} === 'ready'")
                # Three samples, 10 s apart, make a line.
                look_for(35, streams)
                take(browser, folder, "day", streams=streams)
                take(browser, folder, "night", scheme="dark", streams=streams)
                take(browser, folder, "telephone", width=390, streams=streams)
                take(browser, folder, "telephone-night", scheme="dark", width=360, streams=streams)
                terminal(browser, [program, "top", "--address", server.url.split("/")[2]], folder, streams)
        finally:
            server.end()


def consumers(browser, program, folder):
    server = Server(program, consumers=12)
    try:
        browser.size(1280, 900)
        browser.call("Page.navigate", url=server.url)
        browser.until("an upstream that is down is shown", f"/connecting/.test({text_of('upstreams')})")
        browser.until("a stuck handler is named", f"/did:plc:.*attempt 1/.test({text_of('consumers')})")
        look_for(25, [])
        take(browser, folder, "down")
        take(browser, folder, "down-night", scheme="dark")
        take(browser, folder, "down-telephone", width=390)
    finally:
        server.end()


def terminal(browser, command, folder, streams):
    """The last screen of a program in a terminal of its own, for some seconds."""
    if subprocess.run([*command[:2], "--help"], capture_output=True).returncode != 0:
        print(f"skipped: the server has no command {command[1]}", flush=True)
        return
    try:
        import pyte
    except ImportError:
        print("skipped: a picture of the terminal needs the package pyte", flush=True)
        return
    child, terminal_of = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
        time.sleep(0.2)
        os.execv(command[0], command)
    fcntl.ioctl(terminal_of, termios.TIOCSWINSZ, struct.pack("HHHH", TERMINAL[1], TERMINAL[0], 0, 0))
    screen = pyte.Screen(*TERMINAL)
    stream = pyte.ByteStream(screen)
    deadline = time.monotonic() + 12
    while time.monotonic() < deadline:
        look_for(0.05, streams)
        if select.select([terminal_of], [], [], 0.05)[0]:
            try:
                stream.feed(os.read(terminal_of, 1 << 16))
            except OSError:
                break
    os.kill(child, signal.SIGINT)
    os.waitpid(child, 0)
    page = pathlib.Path(folder, "top.html")
    page.write_text(screen_as_html(screen))
    browser.size(1100, 760)
    browser.call("Page.navigate", url=page.resolve().as_uri())
    time.sleep(1)
    browser.picture(f"{folder}/top.png")
    page.unlink()
    print(f"{folder}/top.png", flush=True)


COLOURS = {"default": "#d8dee6", "black": "#4b5563", "red": "#ff7b72", "green": "#4cc26a", "brown": "#e0ac2b",
           "blue": "#6aa9ff", "magenta": "#d2a8ff", "cyan": "#56d4dd", "white": "#f0f3f6"}


def colour(name):
    if re.fullmatch("[0-9a-f]{6}", name):
        return "#" + name
    return COLOURS.get(name.removeprefix("bright"), COLOURS["default"])


def screen_as_html(screen):
    rows = []
    for number in range(screen.lines):
        row = ""
        for column in range(screen.columns):
            cell = screen.buffer[number][column]
            style = f"color:{colour(cell.fg)}"
            if cell.bg != "default":
                style += f";background:{colour(cell.bg)}"
            if cell.reverse:
                style = f"color:#0f1318;background:{colour(cell.fg)}"
            if cell.bold:
                style += ";font-weight:bold"
            row += f'<span style="{style}">{html.escape(cell.data)}</span>'
        rows.append(row)
    style = "background:#0f1318;font:14px/1.3 monospace;padding:12px;margin:0"
    return f'<!DOCTYPE html><meta charset="utf-8"><body style="{style}"><pre>' + "\n".join(rows) + "</pre>"


def main():
    chromium, example, program, folder = sys.argv[1:5]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(chromium, profile)
        try:
            simulated(browser, os.path.abspath(program), folder)
            consumers(browser, example, folder)
        finally:
            browser.end()


if __name__ == "__main__":
    main()
