"""Cadencia, a vendor that does not exist, behind the `Provider` port."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from service.application.json_text import parse_json_object
from service.application.ports import Reader
from service.domain.connection import Connection, ConnectionKind
from service.domain.errors import sequence_not_found, unreadable
from service.domain.json_value import JsonObject, JsonValue, member, text
from service.domain.outcome import Candidate, Fit, Refusal, Result
from service.domain.plan import Call, Plan, Target, Write
from service.domain.provider_call import ProviderAnswer
from service.domain.step import Ids, ProviderName, StepRequest
from service.domain.survey import SequenceKind, Survey
from service.domain.warnings import StepWarning
from service.providers import vendor_text
from tests.fourth_provider.cadencia import mapping

NAME: Final = ProviderName("cadencia")


@dataclass(frozen=True, slots=True)
class Cadencia:
    """Implements `Provider`."""

    base_url: str
    name: ProviderName = NAME
    names_steps: bool = True

    def headers(self, connection: Connection) -> Mapping[str, str]:
        credential = connection.credential.reveal()
        if connection.kind is ConnectionKind.API_KEY:
            proof = {"x-cadencia-key": credential}
        else:
            proof = {"authorization": f"Bearer {credential}"}
        return {**proof, "content-type": "application/json"}

    def check(self, request: StepRequest) -> tuple[StepWarning, ...]:
        return mapping.check(request)

    async def survey(self, reader: Reader, request: StepRequest) -> Survey:
        touches = await _touches(reader, request.sequence_id)
        return Survey(SequenceKind.INTERVAL, dict.fromkeys(touches))

    def plan(self, request: StepRequest, survey: Survey) -> Plan:  # noqa: ARG002 - the port's
        return mapping.plan(request)

    def read_result(self, write: Write, answer: JsonObject) -> Result:
        touch_id = text(answer, "id")
        return Result(dict.fromkeys(write.yields, touch_id) if touch_id else {})

    def explain(self, answer: ProviderAnswer) -> Refusal:
        return Refusal(vendor_text.sentence(text(parse_json_object(answer.body), "problem")))

    def permission(self, method: str, path: str) -> str:  # noqa: ARG002 - the port's
        return "a key that may change flows"

    def is_maintenance(self, answer: ProviderAnswer) -> bool:  # noqa: ARG002 - the port's
        return False

    async def look(
        self, reader: Reader, call: Call, snapshot: frozenset[str], ids: Ids
    ) -> tuple[Candidate, ...]:
        assert call.write.target is Target.STEP, "the text is repeatable, so never looked for"
        touches = await _touches(reader, call.path.split("/")[2])
        if "step_id" in ids:
            is_there = ids["step_id"] in touches
            return (Candidate(Fit.FITS, {"step_id": ids["step_id"]}),) if is_there else ()
        return tuple(
            Candidate(fit, {"step_id": touch_id})
            for touch_id, touch in touches.items()
            if touch_id not in snapshot and (fit := _fit(call, touch))
        )

    def undo(self, ids: Ids) -> Write | None:
        if "step_id" not in ids:
            return None
        path = f"/touches/{ids['step_id']}"
        return Write(Target.STEP, "DELETE", path, None, yields=(), repeatable=True)


async def _touches(reader: Reader, flow_id: str) -> dict[str, JsonValue]:
    """Return all touches of a flow by id; a flow half read would prove one absent."""
    flow = await reader.get(f"/flows/{flow_id}")
    if flow is None:
        raise sequence_not_found("Cadencia", flow_id)
    listed = member(flow, "touches")
    touches = {text(touch, "id"): touch for touch in listed} if isinstance(listed, list) else None
    if touches is None or "" in touches:
        raise unreadable("Cadencia", f"flow {flow_id}")
    return touches


def _fit(call: Call, touch: JsonValue) -> Fit | None:
    if member(touch, "kind") != member(call.body, "kind"):
        return None
    keys = ("label", "waitHours", "note")
    is_same = all(member(touch, key) == member(call.body, key) for key in keys)
    return Fit.FITS if is_same else Fit.PERHAPS
