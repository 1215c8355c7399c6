"""Drives Chromium over the pipe of its DevTools protocol, and looks at the page as a user does."""

import base64
import json
import os
import pathlib
import select
import socket
import subprocess
import sys
import tempfile
import time

PATIENCE = 60


class Browser:
    """A headless Chromium with one tab."""

    def __init__(self, program, profile):
        to_child, self.output = os.pipe()
        self.input, from_child = os.pipe()
        wanted = {to_child: 3, from_child: 4}

        def place():
            # The browser reads commands from descriptor 3 and answers on 4. Out of the way first.
            high = [os.dup2(fd, 200 + target) for fd, target in wanted.items()]
            for fd, target in zip(high, wanted.values()):
                os.dup2(fd, target, inheritable=True)

        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-background-networking", "--remote-debugging-pipe",
             f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=place, close_fds=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_child)
        os.close(from_child)
        self.buffer, self.number, self.session, self.complaints = b"", 0, None, []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def receive(self):
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.input], [], [], left)[0]:
                raise AssertionError("the browser does not answer")
            piece = os.read(self.input, 1 << 20)
            if not piece:
                raise AssertionError("the browser has ended")
            self.buffer += piece
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        command = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            command["sessionId"] = self.session
        left = json.dumps(command).encode() + b"\0"
        while left:
            left = left[os.write(self.output, left):]
        while True:
            message = self.receive()
            if message.get("method") == "Log.entryAdded":
                entry = message["params"]["entry"]
                self.complaints.append(f"{entry['source']}: {entry['text']} {entry.get('url', '')}")
            elif message.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(message["params"]["exceptionDetails"]))
            if message.get("id") == self.number:
                if "error" in message:
                    raise AssertionError(f"{method}: {message['error']}")
                return message["result"]

    def evaluate(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def until(self, what, expression):
        """Waits until an expression is true, and returns its value."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                value = self.evaluate(expression)
            except AssertionError:
                # The page may not be there yet.
                value = None
            if value:
                print(f"ok: {what}", flush=True)
                return value
            if time.monotonic() > deadline:
                text = self.evaluate("document.body.innerText.slice(0, 3000)")
                raise AssertionError(f"never: {what}\n{self.complaints}\n{text}")
            time.sleep(0.1)

    def size(self, width, height, is_mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=2 if is_mobile else 1, mobile=is_mobile)

    def scheme(self, name):
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def picture(self, path):
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        pathlib.Path(path).write_bytes(base64.b64decode(shot["data"]))

    def end(self):
        self.process.terminate()
        self.process.wait(PATIENCE)


class Server:
    """The example, and its address, which a restarted one has again."""

    def __init__(self, program, address="127.0.0.1:0", consumers=3):
        self.process = subprocess.Popen([program, address, str(consumers)],
                                        stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://"), self.url
        self.address = self.url[len("http://"):].rstrip("/")

    def subscribe(self, query):
        """A subscriber that reads nothing, for as long as the socket that is returned."""
        host, port = self.address.rsplit(":", 1)
        stream = socket.create_connection((host, int(port)), PATIENCE)
        stream.sendall((f"GET /subscribe?{query} HTTP/1.1\r\nHost: {self.address}\r\n"
                        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
        assert b" 101 " in stream.recv(64)
        return stream

    def end(self):
        self.process.kill()
        self.process.wait(PATIENCE)


def fill(name, text):
    return f"document.querySelector('[name={name}]').value = {json.dumps(text)}"


def text_of(name):
    return f"document.getElementById('{name}').innerText"


def loads_and_updates(browser, server):
    browser.call("Page.navigate", url=server.url)
    browser.until("it is ready or says why not", f"/ready/.test({text_of('ready')})")
    browser.until("the stream is live", f"{text_of('stream')} === 'live'")
    browser.until("an upstream that is down is shown", f"/connecting/.test({text_of('upstreams')})")
    browser.until("events have a rate", r"/[1-9][\d.]*\s+events a second/.test(document.getElementById('tiles').innerText)")
    browser.until("collections have rates", f"/app.bsky.feed.like/.test({text_of('collections')})")
    browser.until("consumers are listed", f"/feed 3/.test({text_of('consumers')})")
    browser.until("a stuck handler is named", f"/did:plc:.*attempt 1/.test({text_of('consumers')})")
    before = browser.evaluate(text_of("log"))
    browser.until("the log grows before one's eyes", f"{text_of('log')} !== {json.dumps(before)}")
    browser.until("the chart has a line",
                  "document.querySelector('#chart .events').getAttribute('d').split('L').length > 1")
    stream = server.subscribe("wantedCollections=app.bsky.feed.post&compress=true")
    browser.until("a subscriber is shown with filter and encoding",
                  f"/v1 · zstd/.test({text_of('subscribers')}) && /app.bsky.feed.post/.test({text_of('subscribers')})")
    shown = browser.evaluate(text_of("subscribers"))
    assert "127.0.0.1" not in shown, "addresses are hidden"
    return stream


def filters(browser):
    rows = "[...document.querySelectorAll('#events summary')]"
    browser.evaluate(fill("collection", "app.bsky.feed.like") + "; document.querySelector('#filter button').click()")
    browser.until("only one collection is left",
                  f"{rows}.length > 3 && {rows}.every(row => row.innerText.includes('app.bsky.feed.like'))")
    browser.evaluate(fill("collection", "posts") + "; document.querySelector('#filter button').click()")
    browser.until("a wrong filter is explained", f"/neither a collection/.test({text_of('refusal')})")
    browser.evaluate(fill("collection", "") + ";" + fill("text", "HARM ") + "; document.querySelector('#filter button').click()")
    browser.until("text is found whatever its case",
                  f"{rows}.length > 5 && {rows}.every(row => row.innerText.includes('harm'))")
    assert browser.evaluate(text_of("refusal")) == "", "the explanation has gone"


def shows_harm_as_text(browser):
    said = "[...document.querySelectorAll('#events .said')].map(one => one.textContent).join('\\n')"
    for text in ["<img src=x onerror=", "</script><script>", "<style>body{display:none}", "event: status\ndata: {}", "\u202etxet"]:
        browser.until(f"{text[:20]!r} is text", f"{said}.includes({json.dumps(text)})")
    browser.evaluate("document.querySelectorAll('#events details').forEach(one => one.open = true)")
    browser.until("the whole event can be looked at", "document.querySelector('#events pre').textContent.includes('\"did\"')")
    made = browser.evaluate("document.querySelectorAll('#events img, #events script, #events a, #events style').length")
    assert made == 0, "markup of a record became elements"
    assert browser.evaluate("document.title") == "jetwash", "a record's script ran"
    assert browser.evaluate("getComputedStyle(document.body).display") != "none"


def is_strict(browser):
    refused = "try { document.body.innerHTML = '<b>x</b>'; false } catch { true }"
    assert browser.evaluate(refused), "markup can be put in"
    assert browser.evaluate("document.cookie") == ""
    browser.complaints.clear()


def survives(browser, server, program):
    server.end()
    browser.until("the page says that nothing is heard", f"/nothing heard/.test({text_of('stream')})")
    server = Server(program, server.address)
    browser.evaluate("document.getElementById('events').replaceChildren()")
    browser.until("it is live again by itself", f"{text_of('stream')} === 'live'")
    browser.until("events come again", "document.querySelectorAll('#events details').length > 2")
    return server


def fits_a_telephone(browser):
    browser.size(360, 740, is_mobile=True)
    wide = "[...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > 361)"
    browser.until("it is laid out anew", "document.documentElement.clientWidth === 360")
    found = browser.evaluate(f"{wide}.map(one => one.tagName + ' ' + one.id + ' ' + one.textContent.slice(0, 60))")
    assert found == [], found
    print("ok: nothing is wider than a telephone", flush=True)


def main():
    chromium, program = sys.argv[1:3]
    server = Server(program)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(chromium, profile)
        try:
            stream = loads_and_updates(browser, server)
            assert browser.complaints == [], browser.complaints
            filters(browser)
            shows_harm_as_text(browser)
            is_strict(browser)
            fits_a_telephone(browser)
            server = survives(browser, server, program)
            stream.close()
        finally:
            server.end()
            browser.end()
    print("the page works in the browser")


if __name__ == "__main__":
    main()
