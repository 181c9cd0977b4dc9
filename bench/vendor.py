"""A stand-in of the three vendors that costs little: it knows nothing and says yes.

`python -m bench.vendor --delay-seconds 0.5` prints the port that it listens at, answers every
request after so long, and ends with its standard input. The vendors have a path of their own each:
`/outreach`, `/salesloft` and `/apollo`.

It is no limit to what is measured: it has no library under it, looks at little of what it is sent,
and keeps of all requests only the last step of each Salesloft cadence, which is read back. Every
table of the comparison shows how much processor time it takes, beside that of the service.
"""

import argparse
import asyncio
import itertools
import json
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

_CADENCES_KEPT: Final = 100_000
_MEDIA_TYPES: Final = {"outreach": "application/vnd.api+json"}

_Answer: TypeAlias = "Callable[[str, bytes], object]"
"""Makes an answer's JSON of the id in the path, or of its query, and of the request's body."""


class Vendors:
    """What is answered to which request."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._cadences: dict[str, object] = {}
        self.answers: Mapping[tuple[str, str], _Answer] = {
            ("GET", "/outreach/sequences"): lambda id_, _: _resource(
                "sequence", int(id_), {"sequenceType": "interval"}
            ),
            ("GET", "/outreach/sequenceSteps"): lambda _, __: {"data": []},
            ("GET", "/outreach/templates"): lambda id_, _: _resource(
                "template", int(id_), {"subject": "Hello", "bodyHtml": "<p>Hi</p>"}
            ),
            ("POST", "/outreach/sequenceSteps"): lambda _, __: _resource(
                "sequenceStep", next(self._ids), {}
            ),
            ("POST", "/outreach/sequenceTemplates"): lambda _, __: _resource(
                "sequenceTemplate", next(self._ids), {"enabled": True}
            ),
            ("GET", "/salesloft/cadences"): lambda id_, _: {"data": {"id": int(id_)}},
            ("GET", "/salesloft/steps"): self._salesloft_steps,
            ("GET", "/salesloft/email_templates"): lambda id_, _: {
                "data": {"id": int(id_), "title": "T", "subject": "Hello", "body": "<p>Hi</p>"}
            },
            ("POST", "/salesloft/cadence_imports"): self._salesloft_import,
            ("GET", "/apollo/emailer_campaigns"): lambda id_, _: {
                "emailer_campaign": {"id": id_, "type": "interval", "num_steps": 0},
                "emailer_steps": [],
            },
            ("GET", "/apollo/emailer_templates"): lambda id_, _: {
                "emailer_template": {"id": id_, "subject": "Hello", "body_html": "<p>Hi</p>"}
            },
            ("POST", "/apollo/emailer_steps"): self._apollo_step,
            ("PUT", "/apollo/emailer_touches"): lambda id_, _: {"emailer_touch": {"id": id_}},
        }

    def _salesloft_steps(self, query: str, _: bytes) -> object:
        cadence_id = re.search(r"cadence_id=([0-9]+)", query)
        step = self._cadences.get(cadence_id[1]) if cadence_id else None
        steps = [] if step is None else [step]
        return {"data": steps, "metadata": {"paging": {"next_page": None}}}

    def _salesloft_import(self, _: str, body: bytes) -> object:
        """Keep the imported step as it is read back."""
        content = json.loads(body)["cadence_content"]
        (group,), cadence_id = content["step_groups"], content["cadence_id"]
        (step,) = group["steps"]
        if len(self._cadences) == _CADENCES_KEPT:
            self._cadences.pop(next(iter(self._cadences)))
        self._cadences[str(cadence_id)] = {
            "id": next(self._ids),
            "name": step["name"],
            "type": step["type"].lower(),
            "day": group["day"],
            "cadence": {"id": cadence_id},
        }
        return {"data": {"cadence": {"id": cadence_id}}}

    def _apollo_step(self, _: str, body: bytes) -> object:
        id_, touch_id, template_id = (f"{next(self._ids):024x}" for _ in range(3))
        return {
            "emailer_step": {"id": id_, **json.loads(body)},
            "emailer_touch": {
                "id": touch_id,
                "emailer_step_id": id_,
                "emailer_template_id": template_id,
            },
        }


def _resource(kind: str, id_: int, attributes: Mapping[str, object]) -> object:
    return {"data": {"type": kind, "id": id_, "attributes": attributes}}


class _Connection(asyncio.Protocol):
    """Reads requests, one after the other, and answers each after the delay."""

    def __init__(self, vendors: Vendors, delay_seconds: float) -> None:
        self._vendors = vendors
        self._delay_seconds = delay_seconds
        self._unread = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while True:
            head, is_whole, rest = self._unread.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: *([0-9]+)", head, re.IGNORECASE)
            body_bytes = int(length[1]) if length else 0
            if not is_whole or len(rest) < body_bytes:
                return
            self._unread = rest[body_bytes:]
            answer = self._answer(head, rest[:body_bytes])
            if self._delay_seconds:
                loop = asyncio.get_running_loop()
                loop.call_later(self._delay_seconds, self._transport.write, answer)
            else:
                self._transport.write(answer)

    def _answer(self, head: bytes, body: bytes) -> bytes:
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        path, _, query = target.partition("?")
        resource = "/".join(path.split("/", 3)[:3])
        found = self._vendors.answers.get((method, resource))
        if found is None:
            return _written(404, "application/json", {"error": "Not Found"})
        media_type = _MEDIA_TYPES.get(resource.split("/")[1], "application/json")
        said = found(query or path.rpartition("/")[2], body)
        return _written(201 if method == "POST" else 200, media_type, said)


def _written(status: int, media_type: str, said: object) -> bytes:
    body = json.dumps(said).encode()
    head = f"HTTP/1.1 {status} OK\r\ncontent-type: {media_type}\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


async def _serve(delay_seconds: float) -> None:
    vendors = Vendors()
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(vendors, delay_seconds), "127.0.0.1", 0, backlog=4096
    )
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay-seconds", type=float, default=0.0, help="before each answer")
    asyncio.run(_serve(parser.parse_args().delay_seconds))
