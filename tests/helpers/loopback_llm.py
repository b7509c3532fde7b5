"""A server with OpenAI's chat interface that writes what it is asked for and fails at times."""

import http.server
import json
import threading
import time

from data_gen.entities.bank import entity
from data_gen.entities.writer import write_entities

#: What happens to every tenth request, in turn.
TROUBLES = (429, 500, "silence", "half", "wrong")


class LoopbackLLM(http.server.ThreadingHTTPServer):
    """Every ``one_in``-th request fails in one of :data:`TROUBLES`; ``troubles`` counts how."""

    daemon_threads = True

    def __init__(self, one_in: int = 10, silence: float = 1.0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.one_in, self.silence = one_in, silence
        self.requests = 0
        self.troubles: dict[str, int] = {}
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def trouble(self):
        with self.lock:
            self.requests += 1
            if self.requests % self.one_in:
                return ""
            what = TROUBLES[self.requests // self.one_in % len(TROUBLES)]
            self.troubles[str(what)] = self.troubles.get(str(what), 0) + 1
            return what


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        trouble = self.server.trouble()
        try:
            if isinstance(trouble, int):
                return self._send(trouble, b'{"error": "try later"}')
            if trouble == "silence":
                time.sleep(self.server.silence)
            if trouble == "half":
                return self._send(200, b'{"choices": [{"mess')
            text = write(body["messages"][-1]["content"])
            if trouble == "wrong":
                text = text.replace("FINDINGS:", "FINDINGS: Large hiatal hernia.")
            answer = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
            return self._send(200, json.dumps(answer).encode())
        except (BrokenPipeError, ConnectionResetError):  # the client had waited long enough
            return None

    def _send(self, status, data):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


def write(question: str) -> str:
    """The report that :func:`data_gen.reports.base.report_messages` asks for."""
    kind, items = "", []
    for line in question.splitlines():
        if line.startswith("An earlier report"):
            break
        if line.endswith(":"):
            kind = "ABNORMALITY" if "Found" in line else _kind(line)
        elif line.startswith("- ") and line != "- no abnormality":
            items.append(entity(line[2:], kind))
    report = write_entities(items, question)
    return f"FINDINGS: {report.findings}\nIMPRESSION: {report.impression}"


def _kind(line: str) -> str:
    return "NON-ABNORMALITY" if line.startswith("Not there") else "ANATOMY"
