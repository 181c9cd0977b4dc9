"""Cadencia's own API over real HTTP: one tenant, whose answers can be lost."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

API_KEY = "cadencia-key-1"
FIRST_TOKEN, SECOND_TOKEN = "cadencia-access-token-1", "cadencia-access-token-2"


class CadenciaApi(ThreadingHTTPServer):
    """Serves flows, touches and tokens; what it has, and what it was asked, is in the open."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.touches: list[dict[str, Any]] = []
        """Of flow f1, which is the only one."""

        self.texts: dict[str, Any] = {}
        """By the id of their touch."""

        self.refreshes: list[dict[str, str]] = []
        self.writes: list[str] = []
        self.answers_lost_next = 0
        """So many writes are applied and not answered."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: CadenciaApi

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        del format, args

    def do_GET(self) -> None:
        if not self._is_known():
            self._answer(401, {"problem": "Who are you?"})
        elif self.path == "/v1/flows/f1":
            self._answer(200, {"id": "f1", "touches": self.server.touches})
        else:
            self._answer(404, {"problem": "No such flow."})

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/token":
            self.server.refreshes.append(body)
            self._answer(200, {"access_token": SECOND_TOKEN, "expires_in": 7200})
        elif not self._is_known():
            self._answer(401, {"problem": "Who are you?"})
        elif len(body["label"]) > 20:
            self._answer(422, {"problem": "The label is too long."})
        else:
            touch = {"id": f"t{len(self.server.touches) + 1}", **body}
            self.server.touches.append(touch)
            self._answer_write(201, touch)

    def do_PUT(self) -> None:
        self.server.texts[self.path.split("/")[3]] = self._body()
        self._answer_write(200, {})

    def _is_known(self) -> bool:
        is_token = self.headers["authorization"] == f"Bearer {SECOND_TOKEN}"
        return is_token or self.headers["x-cadencia-key"] == API_KEY

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["content-length"])))
        return body

    def _answer_write(self, status: int, body: dict[str, Any]) -> None:
        self.server.writes.append(f"{self.command} {self.path}")
        if self.server.answers_lost_next:
            self.server.answers_lost_next -= 1
            self.close_connection = True
        else:
            self._answer(status, body)

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@contextmanager
def cadencia_api() -> Iterator[CadenciaApi]:
    """Serve in a thread of its own."""
    with CadenciaApi() as api:
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield api
        finally:
            api.shutdown()
            thread.join()
