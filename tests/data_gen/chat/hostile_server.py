"""A server on the loopback interface that answers each path's last word in its own wrong way."""

import base64
import gzip
import json
import socketserver
import threading
import time
import urllib.parse

#: ``echo/FORM`` -> how the key comes back.
FORMS = {
    "plain": lambda key: f"Incorrect key {key} given".encode(),
    "header": lambda key: f"you sent Authorization: Bearer {key}".encode(),
    "upper": lambda key: key.upper().encode(),
    "url": lambda key: urllib.parse.quote(key, safe="").encode(),
    "base64": lambda key: base64.b64encode(f"Bearer {key}".encode()),
    "basic": lambda key: base64.urlsafe_b64encode(f":{key}".encode()),
    "json": lambda key: json.dumps({"error": {"message": key}}).encode(),
    "hex": lambda key: key.encode().hex().encode(),
    "cut": lambda key: b" " * ((1 << 14) - 6) + key.encode(),
    "control": lambda key: f"\x1b[31m\x1b]0;{key}\x07\x9b2J {key}".encode("latin-1"),
}
OK = b"HTTP/1.1 200 OK\r\n"


def completion(text, **more) -> bytes:
    """The body of a good answer."""
    return json.dumps({"choices": [{"message": {"content": text}}], **more}).encode()


def plain(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    # It does close: a client that thought otherwise would now and then meet a dead connection.
    headers += f"Connection: close\r\nContent-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status}\r\n{headers}\r\n".encode() + body


#: Bodies that are no usable completion.
BODIES = {
    "surrogate": b'{"choices": [{"message": {"content": "half \\ud83d a pair"}}]}',
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep answer": b'{"choices": [{"message": {"content": ' + b"[" * 50_000,
    "nothing": b"",
    "not utf-8": b'{"choices": [{"message": {"content": "\xff\xfe"}}]}',
    "null": b"null",
    "a list": b"[]",
    "no choice": b'{"choices": []}',
    "choices a number": b'{"choices": 3}',
    "a number": completion(3),
    "parts": completion([{"type": "text", "text": "a"}]),
    "empty": completion(""),
    "blank": completion(" \n\t"),
    "escape": completion("red \x1b[31m film"),
    "bell": completion("a film\x07"),
    "c1": completion("a film\x9b2J"),
    "endless text": completion("word " * 9_000),
    "long number": b'{"choices": [{"index": ' + b"9" * 9_000 + b"}]}",
}


class HostileServer(socketserver.ThreadingTCPServer):
    """``seen``: the request lines and headers that came."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, target: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = target  # of redirects
        self.seen: list[bytes] = []
        self.ended = threading.Event()

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return super().__enter__()

    def __exit__(self, *error):
        self.ended.set()
        self.shutdown()
        super().__exit__(*error)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(socketserver.StreamRequestHandler):
    def handle(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return
            head += line
        self.server.seen.append(head)
        length = next(x for x in head.lower().split(b"\r\n") if x.startswith(b"content-length"))
        self.asked = json.loads(self.rfile.read(int(length.partition(b":")[2])))
        key = head.partition(b"Bearer ")[2].partition(b"\r\n")[0].decode()
        first = head.split(b" ")[1].decode()
        how = urllib.parse.unquote(first.removesuffix("/chat/completions").lstrip("/"))
        try:
            for piece in self.answer(how, key):
                self.wfile.write(piece)
        except OSError:  # the client had enough
            return

    def answer(self, how, key):
        kind, _, what = how.partition("/")
        if kind == "by prompt":
            kind, _, what = self.asked["messages"][-1]["content"].partition("/")
        if kind == "redirect":
            yield plain(b"", f"{what} Found", f"Location: {self.server.target}/?k={key}\r\n")
        elif kind == "echo":
            yield plain(FORMS[what](key), "401 Unauthorized")
        elif kind == "echo 500":
            yield plain(FORMS[what](key), "500 Oh")
        elif kind == "reason":
            yield f"HTTP/1.1 403 {key}\x1b[2J\r\nContent-Length: 0\r\n\r\n".encode()
        elif kind == "no http":
            yield f"{key} \x1b[31m\r\n\r\n".encode()
        elif kind == "said":
            yield plain(completion(f"The key is {key}.", usage={"prompt_tokens": 3, "key": key}))
        elif kind == "body":
            yield plain(BODIES[what])
        elif kind == "wait":
            yield plain(b"later", "429 Later", f"Retry-After: {what}\r\n")
        elif kind == "good":
            yield plain(completion("Clear lungs. \u00b5 \U0001fac1\nNo\teffusion."))
        else:
            yield from getattr(self, kind.replace(" ", "_"))()

    def drip(self, before, piece):
        yield before
        while not self.server.ended.wait(0.02):
            yield piece

    def silence(self):
        self.server.ended.wait()
        yield b""

    def dripping_headers(self):
        return self.drip(OK + b"X: ", b"a")

    def dripping_body(self):
        return self.drip(OK + b"Content-Length: 100000000000\r\n\r\n{", b" ")

    def dripping_events(self):
        return self.drip(OK + b"Content-Type: text/event-stream\r\n\r\n", b"data: {}\n\n")

    def early_hints(self):
        return self.drip(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")

    def endless_headers(self):
        yield OK
        while not self.server.ended.is_set():
            yield b"X: " + b"a" * 60_000 + b"\r\n"

    def endless_body(self):
        yield OK + b"\r\n"
        while not self.server.ended.is_set():
            yield b" " * 60_000

    def endless_chunks(self):
        yield OK + b"Transfer-Encoding: chunked\r\n\r\n"
        while not self.server.ended.is_set():
            yield b"8000\r\n" + b" " * 0x8000 + b"\r\n"

    def bomb(self):
        packed = gzip.compress(b" " * 20_000_000, 1)
        yield plain(packed, headers="Content-Encoding: gzip\r\n")

    def half(self):
        time.sleep(0.05)
        yield OK + b"Content-Length: 1000\r\n\r\n{"
