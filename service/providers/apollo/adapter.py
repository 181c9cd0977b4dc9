"""Apollo as the application sees it: reads, and the mapping behind the `Provider` port."""

import datetime as dt
from collections.abc import Mapping
from typing import Final

from service.application.json_text import parse_json_object
from service.application.ports import Reader
from service.domain.connection import Connection, ConnectionKind
from service.domain.errors import sequence_not_found, template_not_found, unreadable
from service.domain.json_value import JsonObject, JsonValue, member, text
from service.domain.outcome import Candidate, Fit, Refusal, Result
from service.domain.plan import Call, Plan, Target, Write
from service.domain.provider_call import ProviderAnswer
from service.domain.step import Ids, ProviderName, StepRequest, TemplateContent
from service.domain.survey import SequenceKind, Survey
from service.domain.value_class import value_class
from service.domain.warnings import ProblemType, StepWarning
from service.providers import vendor_text
from service.providers.apollo import mapping, requests
from service.providers.parallel_reads import parallel_reads
from service.providers.position import read_position

NAME: Final = ProviderName("apollo")

_KINDS = {True: SequenceKind.DATE, False: SequenceKind.INTERVAL, None: SequenceKind.INTERVAL}
"""By `sequence_by_exact_daytime`, which is null in sequences that wait [doc, code]."""

_NEEDS_APPROVAL = StepWarning(
    ProblemType.NEEDS_APPROVAL,
    "Apollo does not show the message as approved: it is not sent before it is approved there.",
    "step.template",
)


@value_class
class Apollo:
    """Implements `Provider` for Apollo API v1."""

    base_url: str
    name: ProviderName = NAME
    names_steps: bool = True

    def headers(self, connection: Connection) -> Mapping[str, str]:
        """See `Provider.headers`: a master key, or a partner's access token [spec, doc]."""
        credential = connection.credential.reveal()
        if connection.kind is ConnectionKind.API_KEY:
            credential_header = {"x-api-key": credential}
        else:
            credential_header = {"authorization": f"Bearer {credential}"}
        return {
            **credential_header,
            "accept": requests.MEDIA_TYPE,
            "content-type": requests.MEDIA_TYPE,
            "cache-control": "no-cache",
        }

    def check(self, request: StepRequest) -> tuple[StepWarning, ...]:
        """See `Provider.check`."""
        return mapping.check(request)

    async def survey(self, reader: Reader, request: StepRequest) -> Survey:
        """See `Provider.survey`: the sequence with its steps and the template, side by side."""
        template_id = request.step.template_id if request.step.uses_template else ""
        async with parallel_reads() as reads:
            template = (
                reads.create_task(_read_template(reader, template_id)) if template_id else None
            )
            campaign = await _read_campaign(reader, request.sequence_id)
        return Survey(
            _sequence_kind(campaign),
            {
                step_id: _position(step)
                for step_id, step in _steps(campaign, request.sequence_id).items()
            },
            None if template is None else template.result(),
        )

    def plan(self, request: StepRequest, survey: Survey) -> Plan:
        """See `Provider.plan`."""
        return mapping.plan(request, survey)

    def read_result(self, write: Write, answer: JsonObject) -> Result:
        """See `Provider.read_result`.

        A new step comes with its touch and template or, some clients saw, alone [code]. A new
        e-mail waits for approval [code]; one client saw the write of the message approve it, so
        the answer to that write decides. A step without a message has nothing to approve.
        """
        if write.target is Target.CONTENT:
            is_approved = text(answer, "emailer_touch", "status") == "approved"
            return Result({}, () if is_approved else (_NEEDS_APPROVAL,))
        if write.body is None:
            return Result({})
        found = requests.created_ids(
            str(write.body[requests.SEQUENCE_ID_KEY]),
            member(answer, "emailer_step"),
            member(answer, "emailer_touch"),
            member(answer, "emailer_template"),
        )
        return Result({name: found[name] for name in write.yields if name in found})

    def explain(self, answer: ProviderAnswer) -> Refusal:
        """See `Provider.explain`: one sentence as JSON or as plain text, never a field [doc]."""
        error = parse_json_object(answer.body)
        if error is not None:
            sentence = text(error, "error") or text(error, "message")
            code = text(error, "error_code")
            return Refusal(vendor_text.sentence(f"{sentence} ({code})" if code else sentence))
        if "html" in answer.headers.get("content-type", ""):
            return Refusal("")
        return Refusal(vendor_text.sentence(answer.body.decode("utf-8", errors="replace")))

    def permission(self, method: str, path: str) -> str:  # noqa: ARG002 - the same for all
        """See `Provider.permission`: a key that is not a master key gets 403 here [doc, code]."""
        return "a master API key, or a partner's access token with the scopes for sequences"

    def is_maintenance(self, answer: ProviderAnswer) -> bool:  # noqa: ARG002 - part of the port
        """See `Provider.is_maintenance`: no such answer is documented."""
        return False

    async def look(
        self, reader: Reader, call: Call, snapshot: frozenset[str], ids: Ids
    ) -> tuple[Candidate, ...]:
        """See `Provider.look`: new steps of the sequence, or our own step while it is there.

        Our own is looked for when its answer left out the touch, and after an undo. The write of
        the message is repeatable, so it is never looked for.
        """
        assert call.write.target is Target.STEP
        sequence_id = text(call.body, requests.SEQUENCE_ID_KEY) or str(ids["sequence_id"])
        campaign = await _read_campaign(reader, sequence_id)
        steps = _steps(campaign, sequence_id)
        if "step_id" in ids:
            fits = {step_id: Fit.FITS for step_id in steps if step_id == ids["step_id"]}
        else:
            new = {id_: step for id_, step in steps.items() if id_ not in snapshot}
            fits = {id_: fit for id_, step in new.items() if (fit := _fit(call, campaign, step))}
        return tuple(
            Candidate(fit, _ids_in(campaign, sequence_id, step_id)) for step_id, fit in fits.items()
        )

    def undo(self, ids: Ids) -> Write | None:
        """See `Provider.undo`: the step with its touch [code]."""
        return requests.delete_step(ids["step_id"]) if "step_id" in ids else None


async def _read_campaign(reader: Reader, sequence_id: str) -> JsonObject:
    campaign = await reader.get(requests.campaign_path(sequence_id))
    if campaign is None:
        raise sequence_not_found("Apollo", sequence_id)
    return campaign


async def _read_template(reader: Reader, template_id: str) -> TemplateContent:
    answer = await reader.get(requests.template_path(template_id))
    if answer is None:
        raise template_not_found("Apollo", template_id)
    template = member(answer, "emailer_template")
    if not isinstance(template, dict):
        raise unreadable("Apollo", f"template {template_id}")
    return TemplateContent(text(template, "subject"), text(template, "body_html"))


def _steps(campaign: JsonObject, sequence_id: str) -> dict[str, JsonValue]:
    """Return the sequence's steps by id; steps half read would prove that one is absent."""
    steps = requests.steps_by_id(campaign)
    if steps is None:
        raise unreadable("Apollo", f"sequence {sequence_id}")
    return steps


def _sequence_kind(campaign: JsonObject) -> SequenceKind | None:
    flag = member(campaign, "emailer_campaign", "sequence_by_exact_daytime")
    return _KINDS[flag] if flag is None or isinstance(flag, bool) else None


def _position(step: JsonValue) -> int | None:
    return read_position(member(step, "position"))


def _ids_in(campaign: JsonObject, sequence_id: str, step_id: str) -> Ids:
    """Return the ids of a step and of its touch; which of several is ours cannot be told."""
    touches = requests.touches_of(campaign, step_id)
    touch = touches[0] if len(touches) == 1 else None
    return requests.created_ids(sequence_id, {"id": step_id}, touch)


def _fit(call: Call, campaign: JsonObject, step: JsonValue) -> Fit | None:
    """Compare a new step with what we sent; position is no criterion, since others move it."""
    sent = call.body
    is_elsewhere = requests.is_elsewhere(step, text(sent, requests.SEQUENCE_ID_KEY))
    if is_elsewhere or member(step, "type") != member(sent, "type"):
        return None
    same = (
        _wait_seconds(step) == _wait_seconds(sent)
        and _is_same_moment(member(step, "exact_datetime"), member(sent, "exact_datetime"))
        and vendor_text.plain(text(step, "note")) == vendor_text.plain(text(sent, "note"))
    )
    return Fit.FITS if same and not _may_have_content(campaign, step) else Fit.PERHAPS


def _wait_seconds(step: JsonValue) -> int | None:
    """Return the wait in one unit: 0 minutes may come back as 0 seconds."""
    wait_time = member(step, "wait_time")
    unit_seconds = mapping.SECONDS_OF_UNIT.get(text(step, "wait_mode"))
    if not isinstance(wait_time, int) or unit_seconds is None:
        return None
    return wait_time * unit_seconds


def _is_same_moment(one: JsonValue, other: JsonValue) -> bool:
    if not isinstance(one, str) or not isinstance(other, str):
        return one is None and other is None
    try:
        return dt.datetime.fromisoformat(one) == dt.datetime.fromisoformat(other)
    except ValueError:
        return False


def _may_have_content(campaign: JsonObject, step: JsonValue) -> bool:
    """Whether somebody may have written the step's message; Apollo makes an empty one [code].

    A template that is not listed may be one of the library's, which a write would change.
    """
    touches = requests.touches_of(campaign, text(step, "id"))
    templates = [requests.template_of(campaign, touch) for touch in touches]
    return len(touches) > 1 or any(
        template is None or text(template, "subject") or text(template, "body_html")
        for template in templates
    )
