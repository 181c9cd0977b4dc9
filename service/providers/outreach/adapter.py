"""Outreach as the application sees it: reads, and the mapping behind the `Provider` port."""

from collections.abc import Mapping
from typing import Final, cast

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
from service.domain.plan import Call, Plan, Target, Write
from service.domain.provider_call import ProviderAnswer
from service.domain.step import Ids, ProviderName, StepRequest
from service.domain.survey import SequenceKind, Survey
from service.domain.value_class import value_class
from service.domain.warnings import ProblemType, StepWarning
from service.providers import vendor_text
from service.providers.outreach import mapping, requests
from service.providers.parallel_reads import parallel_reads
from service.providers.position import read_position

NAME: Final = ProviderName("outreach")

PAGES_MAX = 40
STEPS_MAX = 50 * PAGES_MAX
"""A list is read up to this many pages of 50; a longer one is refused rather than half known."""

_KINDS = {"interval": SequenceKind.INTERVAL, "date": SequenceKind.DATE}


@value_class
class Outreach:
    """Implements `Provider` for Outreach API v2."""

    base_url: str
    name: ProviderName = NAME
    names_steps: bool = True

    def headers(self, connection: Connection) -> Mapping[str, str]:
        """See `Provider.headers`: OAuth access tokens only; there are no API keys [doc]."""
        return {
            "authorization": f"Bearer {connection.credential.reveal()}",
            "accept": requests.MEDIA_TYPE,
            "content-type": requests.MEDIA_TYPE,
        }

    def check(self, request: StepRequest) -> tuple[StepWarning, ...]:
        """See `Provider.check`."""
        return mapping.check(request)

    async def survey(self, reader: Reader, request: StepRequest) -> Survey:
        """See `Provider.survey`: the sequence, its steps and the template, side by side."""
        template_id = request.step.template_id if request.step.uses_template else ""
        async with parallel_reads() as reads:
            sequence = reads.create_task(reader.get(requests.sequence_path(request.sequence_id)))
            template = (
                reads.create_task(reader.get(requests.template_path(template_id)))
                if template_id
                else None
            )
            steps = await _steps(reader, request.sequence_id)
        kind = _sequence_kind(sequence.result(), request.sequence_id)
        if template is not None and template.result() is None:
            raise template_not_found("Outreach", template_id)
        return Survey(kind, {id_: _order(step) for id_, step in steps.items()})

    def plan(self, request: StepRequest, survey: Survey) -> Plan:
        """See `Provider.plan`."""
        return mapping.plan(request, survey)

    def read_result(self, write: Write, answer: JsonObject) -> Result:
        """See `Provider.read_result`: the new id is `data.id` [spec]."""
        data = member(answer, "data")
        new_id = requests.resource_id(data)
        if write.target is Target.STEP and requests.is_elsewhere(data, _sequence_id(write)):
            new_id = None
        ids = dict.fromkeys(write.yields, new_id) if new_id is not None else {}
        if write.target is Target.CONTENT and requests.attribute(data, "enabled") is False:
            return Result(ids, (_NOT_ENABLED,))
        return Result(ids)

    def explain(self, answer: ProviderAnswer) -> Refusal:
        """See `Provider.explain`: JSON:API errors, with `detail` or `details` [doc, spec]."""
        errors = items(parse_json_object(answer.body), "errors")
        sentences = (
            text(error, "detail") or text(error, "details") or text(error, "title")
            for error in errors
        )
        pointers = (text(error, "source", "pointer") for error in errors)
        fields = (mapping.FIELD_OF_POINTER.get(pointer, "") for pointer in pointers)
        return Refusal(
            vendor_text.sentence(" ".join(filter(None, sentences))),
            next(filter(None, fields), ""),
        )

    def permission(self, method: str, path: str) -> str:
        """See `Provider.permission`: a scope per resource; `write` gives no `read` [doc]."""
        resource = path.split("/")[1]
        action = {"GET": "read", "DELETE": "delete"}.get(method, "write")
        return f"scope {resource}.{action} or {resource}.all"

    def is_maintenance(self, answer: ProviderAnswer) -> bool:
        """See `Provider.is_maintenance` [doc]."""
        errors = items(parse_json_object(answer.body), "errors")
        return any(text(error, "id") == "scheduledServerMaintenance" for error in errors)

    async def look(
        self, reader: Reader, call: Call, snapshot: frozenset[str], ids: Ids
    ) -> tuple[Candidate, ...]:
        """See `Provider.look`: new steps of the sequence, or the links of our own step."""
        if call.write.target is Target.STEP:
            steps = await _steps(reader, str(_related(call.body, "sequence")))
            if "step_id" in ids:
                own = Candidate(Fit.FITS, {"step_id": ids["step_id"]})
                return (own,) if str(ids["step_id"]) in steps else ()
            new = {id_: step for id_, step in steps.items() if id_ not in snapshot}
            found = ((id_, _compare_step(call, step)) for id_, step in new.items())
            return tuple(Candidate(fit, {"step_id": int(id_)}) for id_, fit in found if fit)
        query = requests.links_query(str(ids["step_id"]))
        links = await _read_list(reader, requests.LINKS_PATH, query)
        found_links = ((id_, _compare_link(call, link)) for id_, link in links.items())
        return tuple(Candidate(fit, {"link_id": int(id_)}) for id_, fit in found_links if fit)

    def undo(self, ids: Ids) -> Write | None:
        """See `Provider.undo`: an own template without a step; a step has no DELETE [spec]."""
        if "template_id" in ids and "step_id" not in ids:
            return requests.delete_template(ids["template_id"])
        return None


_NOT_ENABLED = StepWarning(
    ProblemType.TEMPLATE_NOT_ENABLED,
    "Outreach linked the template but left it switched off: switch it on in the sequence.",
    "step.template",
)


def _sequence_kind(sequence: JsonObject | None, sequence_id: str) -> SequenceKind | None:
    if sequence is None:
        raise sequence_not_found("Outreach", sequence_id)
    kind = requests.attribute(member(sequence, "data"), "sequenceType")
    return _KINDS.get(kind) if isinstance(kind, str) else None


async def _steps(reader: Reader, sequence_id: str) -> dict[str, JsonValue]:
    """Return the sequence's steps by id, from all pages."""
    return await _read_list(reader, requests.STEPS_PATH, requests.steps_query(sequence_id))


async def _read_list(reader: Reader, path: str, query: Mapping[str, str]) -> dict[str, JsonValue]:
    """Return the resources of all pages by id; a list half read would prove one absent."""
    resources: dict[str, JsonValue] = {}
    page_query = dict(query)
    for _ in range(PAGES_MAX):
        page = await reader.get(path, page_query)
        listed = member(page, "data")
        if page is None or not isinstance(listed, list):
            raise unreadable("Outreach", path)
        for resource in listed:
            resource_id = requests.resource_id(resource)
            if resource_id is None:
                raise unreadable("Outreach", path)
            resources[str(resource_id)] = resource
        cursor = requests.next_page(page)
        if cursor is None:
            raise unreadable("Outreach", path)
        if len(resources) > STEPS_MAX:
            break
        if not cursor:
            return resources
        page_query["page[after]"] = cursor
    raise ServiceError(
        Reason.PROVIDER_REJECTED, f"Outreach's list at {path} is longer than {PAGES_MAX} pages."
    )


def _order(step: JsonValue) -> int | None:
    return read_position(requests.attribute(step, "order"))


def _compare_step(call: Call, step: JsonValue) -> Fit | None:
    """Compare a new step with what we sent; order is never a criterion, since others move it."""
    sent = member(call.body, "data", "attributes")
    step_type = requests.attribute(step, "stepType")
    is_other_type = isinstance(step_type, str) and step_type != member(sent, "stepType")
    if is_other_type or requests.is_elsewhere(step, _related(call.body, "sequence")):
        return None
    has_link = bool(items(step, "relationships", "sequenceTemplates", "data"))
    same = (
        isinstance(step_type, str)
        and requests.attribute(step, "interval") == member(sent, "interval")
        and requests.attribute(step, "date") == member(sent, "date")
        and vendor_text.plain(text(step, "attributes", "taskNote"))
        == vendor_text.plain(text(sent, "taskNote"))
    )
    return Fit.FITS if same and not has_link else Fit.PERHAPS


def _compare_link(call: Call, link: JsonValue) -> Fit | None:
    """Compare a link of our step with what we sent: the same template, as a reply or not."""
    if requests.related_id(link, "template") != _related(call.body, "template"):
        return None
    sent = member(call.body, "data", "attributes", "isReply")
    return Fit.FITS if requests.attribute(link, "isReply") == sent else Fit.PERHAPS


def _sequence_id(write: Write) -> int | None:
    # What is still to be known stands elsewhere in the body: the sequence's id is a number.
    return _related(cast("JsonObject | None", write.body), "sequence")


def _related(body: JsonValue, name: str) -> int | None:
    return requests.related_id(member(body, "data"), name)
