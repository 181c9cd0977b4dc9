"""Salesloft as the application sees it: reads, and the mapping behind the `Provider` port."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from service.application.json_text import parse_json_object
from service.application.ports import Reader
from service.domain.connection import Connection
from service.domain.errors import (
    Reason,
    ServiceError,
    sequence_not_found,
    template_not_found,
    unreadable,
)
from service.domain.json_value import JsonObject, JsonValue, items, member, text
from service.domain.outcome import Candidate, Fit, Refusal, Result
from service.domain.plan import Call, Plan, Write
from service.domain.provider_call import ProviderAnswer
from service.domain.step import Ids, ProviderName, StepRequest, TemplateContent
from service.domain.survey import SequenceKind, Survey
from service.domain.value_class import value_class
from service.domain.warnings import StepWarning
from service.providers import vendor_text
from service.providers.numeric_id import read_id
from service.providers.parallel_reads import parallel_reads
from service.providers.salesloft import mapping, requests

NAME: Final = ProviderName("salesloft")

PAGES_MAX: Final = 10
STEPS_MAX: Final = PAGES_MAX * requests.PAGE_SIZE
"""A list is read up to this many full pages; a longer one is refused rather than half known."""

_STEP_TYPES: Final = frozenset({"email", "phone", "other", "integration"})
"""The types of a step as they are read back [spec, code]."""

_WORD: Final = re.compile(r"[a-z_]+")


@value_class
class Salesloft:
    """Implements `Provider` for Salesloft API v2."""

    base_url: str
    name: ProviderName = NAME
    names_steps: bool = False

    def headers(self, connection: Connection) -> Mapping[str, str]:
        """See `Provider.headers`: an access token and an API key go the same way [doc]."""
        return {
            "authorization": f"Bearer {connection.credential.reveal()}",
            "accept": requests.MEDIA_TYPE,
            "content-type": requests.MEDIA_TYPE,
        }

    def check(self, request: StepRequest) -> tuple[StepWarning, ...]:
        """See `Provider.check`."""
        return mapping.check(request)

    async def survey(self, reader: Reader, request: StepRequest) -> Survey:
        """See `Provider.survey`: the cadence, its steps and the template, side by side.

        A template's id does not say whether it is a personal or a team template, so both are read.
        """
        cadence_id, step = request.sequence_id, request.step
        paths = requests.template_paths(step.template_id) if mapping.copies_template(step) else ()
        async with parallel_reads() as reads:
            cadence = reads.create_task(reader.get(requests.cadence_path(cadence_id)))
            templates = [reads.create_task(_template(reader, path)) for path in paths]
            steps = await _page_of_steps(reader, cadence_id, 1)
        _refuse_closed(cadence.result(), cadence_id)
        _refuse_not_empty(steps, cadence_id)
        if not templates:
            return Survey(SequenceKind.INTERVAL, {})
        found = _found_templates([task.result() for task in templates], step.template_id)
        warnings = (mapping.template_kind_guessed(step),) if len(found) > 1 else ()
        content = _readable_content(found[0], step.template_id)
        return Survey(SequenceKind.INTERVAL, {}, content, warnings)

    def plan(self, request: StepRequest, survey: Survey) -> Plan:
        """See `Provider.plan`."""
        return mapping.plan(request, survey)

    def read_result(
        self,
        write: Write,  # noqa: ARG002 - part of the port
        answer: JsonObject,  # noqa: ARG002 - likewise
    ) -> Result:
        """See `Provider.read_result`: the id of the cadence alone, none of a step [spec]."""
        return Result({})

    def explain(self, answer: ProviderAnswer) -> Refusal:
        """See `Provider.explain`: `error` is a sentence, `errors` has lists by field [doc]."""
        body = parse_json_object(answer.body)
        errors = member(body, "errors")
        keys = tuple(errors) if isinstance(errors, Mapping) else ()
        failures = (
            f"{key} {failure}"
            for key in keys
            for failure in items(errors, key)
            if isinstance(failure, str)
        )
        fields = (mapping.FIELD_OF_KEY.get(_last_word(key), "") for key in keys)
        return Refusal(
            vendor_text.sentence(text(body, "error") or "; ".join(failures)),
            next(filter(None, fields), ""),
        )

    def permission(self, method: str, path: str) -> str:  # noqa: ARG002 - part of the port
        """See `Provider.permission`: a scope per resource [doc]."""
        return requests.PERMISSIONS.get(path.split("/")[1], "")

    def is_maintenance(self, answer: ProviderAnswer) -> bool:  # noqa: ARG002 - part of the port
        """See `Provider.is_maintenance`: no such answer is documented [unknown]."""
        return False

    async def look(
        self,
        reader: Reader,
        call: Call,
        snapshot: frozenset[str],
        ids: Ids,  # noqa: ARG002 - part of the port
    ) -> tuple[Candidate, ...]:
        """See `Provider.look`: new steps of the cadence."""
        cadence_id = requests.imported_cadence_id(call.body)
        steps = await _steps(reader, str(cadence_id))
        new = {id_: step for id_, step in steps.items() if str(id_) not in snapshot}
        found = ((id_, _compare(call, step)) for id_, step in new.items())
        return tuple(Candidate(fit, {"step_id": id_}) for id_, fit in found if fit)

    def undo(self, ids: Ids) -> Write | None:  # noqa: ARG002 - part of the port
        """See `Provider.undo`: neither steps nor cadences have a DELETE [spec]."""
        return None


def _refuse_closed(cadence: JsonObject | None, cadence_id: str) -> None:
    if cadence is None:
        raise sequence_not_found("Salesloft", cadence_id)
    state = requests.closed_state(cadence)
    if state:
        raise ServiceError(
            Reason.SEQUENCE_ARCHIVED,
            f"Salesloft's cadence {cadence_id} is {state} and takes no steps: nothing was "
            "written. Use another cadence.",
            metadata={"sequenceId": cadence_id},
        )


def _refuse_not_empty(page: JsonObject | None, cadence_id: str) -> None:
    if _records(page):
        raise ServiceError(
            Reason.SEQUENCE_NOT_EMPTY,
            f"Salesloft's cadence {cadence_id} already has steps, and its API adds steps only to a "
            "cadence without any: nothing was written. Add this step in Salesloft itself, or use "
            "a new cadence.",
            metadata={"sequenceId": cadence_id},
        )


async def _template(reader: Reader, path: str) -> JsonObject | ServiceError | None:
    """Read a template of one kind, or return why the connection may not read that kind.

    Each kind has a scope of its own, and one of the two is enough.
    """
    try:
        return await reader.get(path)
    except ServiceError as error:
        if error.reason is Reason.PROVIDER_FORBIDDEN:
            return error
        raise


def _found_templates(
    answers: Sequence[JsonObject | ServiceError | None], template_id: str
) -> Sequence[JsonObject]:
    """Return the templates that are there, the personal one first; none is an error."""
    found = [answer for answer in answers if isinstance(answer, Mapping)]
    if found:
        return found
    for answer in answers:
        if isinstance(answer, ServiceError):
            raise answer
    raise template_not_found("Salesloft", template_id)


def _readable_content(template: JsonObject, template_id: str) -> TemplateContent:
    content = requests.template_content(template)
    if not content.body_html:
        message = f"Salesloft's template {template_id} has no text that could be copied."
        raise ServiceError(Reason.TEMPLATE_REQUIRED, message, metadata={"templateId": template_id})
    return content


async def _steps(reader: Reader, cadence_id: str) -> dict[int, JsonValue]:
    """Return the cadence's steps by id, from all pages."""
    steps: dict[int, JsonValue] = {}
    for number in range(1, PAGES_MAX + 1):
        page = await _page_of_steps(reader, cadence_id, number)
        for record in _records(page):
            step_id = read_id(member(record, "id"))
            if step_id is None:
                raise unreadable("Salesloft", "the steps of the cadence")
            steps[step_id] = record
        if len(steps) > STEPS_MAX:
            break
        if page is None or not requests.has_next_page(page):
            return steps
    raise ServiceError(
        Reason.PROVIDER_REJECTED, f"Salesloft's list of steps is longer than {PAGES_MAX} pages."
    )


async def _page_of_steps(reader: Reader, cadence_id: str, number: int) -> JsonObject | None:
    return await reader.get(requests.STEPS_PATH, requests.steps_query(cadence_id, number))


def _records(page: JsonObject | None) -> Sequence[JsonValue]:
    """Return the records of a page; one that has no list is not taken for an empty one."""
    records = member(page, "data")
    if not isinstance(records, list):
        raise unreadable("Salesloft", "the steps of the cadence")
    return records


def _compare(call: Call, step: JsonValue) -> Fit | None:
    """Compare a new step with the one that was sent; only another type or cadence rules it out."""
    group = requests.imported_step_group(call.body)
    sent = member(group, "steps", 0)
    cadence_id = read_id(member(step, "cadence", "id"))
    if cadence_id not in (None, requests.imported_cadence_id(call.body)):
        return None
    type_, sent_type = text(step, "type").lower(), text(sent, "type").lower()
    if type_ != sent_type and type_ in _STEP_TYPES:
        return None
    same = (
        type_ == sent_type
        and member(step, "day") == member(group, "day")
        and vendor_text.plain(text(step, "name")) == vendor_text.plain(text(sent, "name"))
    )
    return Fit.FITS if same else Fit.PERHAPS


def _last_word(key: str) -> str:
    """Return the field at the end of a key such as `step_groups[0].day`; its form is a guess."""
    words = _WORD.findall(key)
    return words[-1] if words else ""
