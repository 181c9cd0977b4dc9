"""What is read out of a provider's answer, where an answer could be made to hurt: each was a bug.

The table of attacks has them too, through the whole service; here the one place is shown.
"""

import json
from collections.abc import AsyncIterator, Mapping

import pytest

from service.application.json_text import JSON_DEPTH_MAX, json_bytes, parse_json_object
from service.domain.errors import Reason, ServiceError
from service.domain.json_value import JsonObject, JsonValue
from service.domain.plan import Call, Plan, Write, bind
from service.domain.provider_call import AnswerLost
from service.domain.step import SequenceStep, StepRequest, StepType, TemplateContent
from service.domain.survey import SequenceKind, Survey
from service.providers import vendor_text
from service.providers.apollo.adapter import Apollo
from service.providers.outreach.adapter import STEPS_MAX, Outreach
from service.providers.provider_http import ProviderHttp
from service.providers.salesloft.adapter import Salesloft
from service.transport.struct_json import to_struct
from service.transport.text import excerpt
from tests.mapping.scripted_reader import ScriptedReader
from tests.provider_http.calls import Answered, outcome, request
from tests.provider_http.scripted_server import Peer, ScriptedServer, answer

OUTREACH = Outreach("https://outreach.test/api/v2")
SALESLOFT = Salesloft("https://salesloft.test/v2")
APOLLO = Apollo("https://apollo.test/v1")
CAMPAIGN = "65334c9c2722cd008bde87c3"
OTHER_CAMPAIGN = "65334c9c2722cd008bde87c4"
STEP, TOUCH, TEMPLATE = "a" * 24, "b" * 24, "c" * 24

CALL = SequenceStep(StepType.CALL)
EMAIL = SequenceStep(StepType.AUTO_EMAIL, template_content=TemplateContent("Hello", "<p>Hi</p>"))


class TestText:
    def test_a_character_reference_of_thousands_of_digits_is_text(self) -> None:
        assert vendor_text.plain("&#" + "9" * 5_000 + ";") == "\N{REPLACEMENT CHARACTER}"
        assert vendor_text.plain("&#65;&#x42;") == "AB"

    @pytest.mark.parametrize(
        "hidden", ["\ufeff", "\u061c", "\u2060", "\u00ad", "\u202e", "\u2069", "\U000e0041", "\x1b"]
    )
    def test_what_nobody_sees_is_taken_out(self, hidden: str) -> None:
        assert vendor_text.sentence(f"pay{hidden}pal") == "pay pal"

    def test_markup_that_was_escaped_is_markup(self) -> None:
        assert vendor_text.sentence("no &lt;script&gt;alert(1)&lt;/script&gt; here") == (
            "no alert(1) here"
        )

    @pytest.mark.parametrize("length", range(250, 310))
    def test_a_word_that_would_be_cut_is_left_out(self, length: int) -> None:
        """A part of a credential is one too, and whoever takes it out looks for the whole."""
        words = "word " * (length // 5) + "x" * (length % 5) + "secret-credential"
        sentence = vendor_text.sentence(words + " and more" * 100)
        assert "secret-credential" in sentence or "secr" not in sentence
        assert len(sentence) <= vendor_text.SENTENCE_CHARACTERS_MAX

    def test_an_excerpt_shows_what_is_hidden(self) -> None:
        assert excerpt("a\u202eb\u200bc\x1b") == "a\ufffdb\ufffdc\ufffd"


class TestJson:
    def test_depth_has_a_limit_of_its_own(self) -> None:
        def nested(levels: int) -> bytes:
            return b'{"a":' * levels + b"1" + b"}" * levels

        assert parse_json_object(nested(JSON_DEPTH_MAX)) is not None
        assert parse_json_object(nested(JSON_DEPTH_MAX + 1)) is None
        lists = b'{"a":' + b"[" * JSON_DEPTH_MAX + b"]" * JSON_DEPTH_MAX + b"}"
        assert parse_json_object(lists) is None

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-32-be"])
    def test_only_utf_8_is_json(self, encoding: str) -> None:
        """A credential in another encoding would not be found in the bytes."""
        assert parse_json_object('{"a": 1}'.encode(encoding)) is None

    def test_a_byte_order_mark_is_tolerated(self) -> None:
        assert parse_json_object(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}

    @pytest.mark.parametrize("raw", [b'{"a": "\xff"}', b'{"a": "\xed\xa0\x80"}'])
    def test_what_is_no_utf_8_is_no_json(self, raw: bytes) -> None:
        assert parse_json_object(raw) is None

    def test_a_text_that_was_cut_within_a_character_is_read_and_written(self) -> None:
        """As vendors do that count in UTF-16, in the middle of an emoji."""
        raw = rb'{"a":"x\ud83d"}'
        value = parse_json_object(raw)
        assert value == {"a": "x\ud83d"}
        assert json_bytes(value) == raw

    def test_a_number_beyond_64_bits_loses_digits_and_no_answer(self) -> None:
        """No id is one: they have 18 digits at most."""
        assert parse_json_object(b'{"a": %d, "b": 1}' % 10**30) == {"a": 1e30, "b": 1}


class TestPositions:
    @pytest.mark.parametrize("order", [10**30, -1, 0, True, 1.5, "3", 10**400])
    async def test_a_position_that_makes_no_sense_counts_as_none(self, order: JsonValue) -> None:
        steps: list[JsonValue] = [
            {"id": 1, "attributes": {"order": 2}},
            {"id": 2, "attributes": {"order": order}},
        ]
        plan = await _outreach_plan({"data": steps})
        assert _sent(plan, "data", "attributes", "order") == 3
        campaign: JsonObject = {
            "emailer_campaign": {"id": CAMPAIGN},
            "emailer_steps": [{"id": STEP, "position": 2}, {"id": TOUCH, "position": order}],
        }
        reader = ScriptedReader({f"/emailer_campaigns/{CAMPAIGN}": campaign})
        asked = StepRequest(CAMPAIGN, CALL)
        plan = APOLLO.plan(asked, await APOLLO.survey(reader, asked))
        assert _sent(plan, "position") == 3

    def test_the_plan_of_a_huge_number_can_be_shown(self) -> None:
        assert to_struct({"a": 2**53}).fields["a"].number_value == 2.0**53


class TestPages:
    @pytest.mark.parametrize(
        "following",
        [
            "/sequenceSteps?page[number]=2",
            "/sequenceSteps",
            "/sequenceSteps?page[after]=",
            "/sequenceSteps?page[after]=a%0d%0ab",
            "/sequenceSteps?page[after]=%ff",
            "/sequenceSteps?page[after]=" + "c" * 5_000,
            "?" + "a=1&" * 100_000,
            {"href": "/sequenceSteps?page[after]=abc"},
            ["/sequenceSteps?page[after]=abc"],
            5,
            True,
        ],
    )
    async def test_a_next_page_that_cannot_be_read_is_not_the_end(
        self, following: JsonValue
    ) -> None:
        """The list would be half known, and a step on the other half be taken for absent."""
        with pytest.raises(ServiceError) as caught:
            await _outreach_plan({"data": [], "links": {"next": following}})
        assert caught.value.reason is Reason.PROVIDER_UNAVAILABLE

    @pytest.mark.parametrize("links", [{}, None, {"next": None}, {"next": ""}])
    async def test_no_next_page_is_the_end(self, links: JsonValue) -> None:
        assert (await _outreach_plan({"data": [], "links": links})).writes

    async def test_pages_longer_than_asked_for_do_not_pile_up(self) -> None:
        steps = [{"id": number} for number in range(1, STEPS_MAX + 2)]
        with pytest.raises(ServiceError) as caught:
            await _outreach_plan({"data": steps})
        assert caught.value.reason is Reason.PROVIDER_REJECTED

    @pytest.mark.parametrize("metadata", [None, {}, {"paging": {}}, {"paging": []}])
    async def test_a_full_page_that_says_nothing_is_not_the_last(self, metadata: JsonValue) -> None:
        full: JsonObject = {"data": [_salesloft_step(id_) for id_ in range(1, 101)]}
        rest: JsonObject = {"data": [_salesloft_step(101)]}
        reader = ScriptedReader({"/steps": [{**full, "metadata": metadata}, rest]})
        found = await SALESLOFT.look(reader, _salesloft_call(), frozenset(), {})
        assert len(found) == 101


class TestForeignIds:
    """Ids of the right form that belong to something else than what was asked for."""

    def test_the_new_step_of_another_sequence_is_not_ours(self) -> None:
        write = _write(OUTREACH, "4711", CALL)
        relationships: JsonObject = {"sequence": {"data": {"type": "sequence", "id": 4712}}}
        answered: JsonObject = {"data": {"id": 5, "relationships": relationships}}
        assert OUTREACH.read_result(write, answered).ids == {}

    async def test_a_listed_step_of_another_sequence_is_not_ours(self) -> None:
        call = bind(_write(OUTREACH, "4711", CALL), {})
        assert call.body is not None
        data = call.body["data"]
        assert isinstance(data, Mapping)
        listed = {**data, "id": 5}
        ours = ScriptedReader({"/sequenceSteps": {"data": [listed]}})
        assert len(await OUTREACH.look(ours, call, frozenset(), {})) == 1
        elsewhere = {**listed, "relationships": {"sequence": {"data": {"id": 4712}}}}
        theirs = ScriptedReader({"/sequenceSteps": {"data": [elsewhere]}})
        assert await OUTREACH.look(theirs, call, frozenset(), {}) == ()

    @pytest.mark.parametrize(
        ("damage", "known"),
        [
            ({"emailer_step": {"id": STEP, "emailer_campaign_id": OTHER_CAMPAIGN}}, set()),
            (
                {
                    "emailer_touch": {
                        "id": TOUCH,
                        "emailer_step_id": "d" * 24,
                        "emailer_template_id": TEMPLATE,
                    }
                },
                {"step_id", "sequence_id"},
            ),
            ({}, {"step_id", "sequence_id", "touch_id", "touch_template_id"}),
        ],
    )
    def test_a_touch_of_another_step_is_never_written_to(
        self, damage: JsonObject, known: set[str]
    ) -> None:
        write = _write(APOLLO, CAMPAIGN, EMAIL)
        answered: JsonObject = {
            "emailer_step": {"id": STEP, "emailer_campaign_id": CAMPAIGN},
            "emailer_touch": {
                "id": TOUCH,
                "emailer_step_id": STEP,
                "emailer_template_id": TEMPLATE,
            },
            **damage,
        }
        assert APOLLO.read_result(write, answered).ids.keys() == known

    async def test_a_listed_step_of_another_campaign_is_not_ours(self) -> None:
        call = bind(_write(APOLLO, CAMPAIGN, CALL), {})
        assert call.body is not None

        async def found(campaign_id: str) -> int:
            step = {**call.body, "id": STEP, "emailer_campaign_id": campaign_id}  # type: ignore[dict-item]
            campaign: JsonObject = {"emailer_steps": [step]}
            reader = ScriptedReader({f"/emailer_campaigns/{CAMPAIGN}": campaign})
            return len(await APOLLO.look(reader, call, frozenset(), {}))

        assert (await found(CAMPAIGN), await found(OTHER_CAMPAIGN)) == (1, 0)

    @pytest.mark.parametrize("num_steps", [None, "0", True, 3, -1, 0.5])
    async def test_steps_that_are_not_listed_are_none_only_where_none_are_counted(
        self, num_steps: JsonValue
    ) -> None:
        campaign: JsonObject = {"emailer_campaign": {"id": CAMPAIGN, "num_steps": num_steps}}
        reader = ScriptedReader({f"/emailer_campaigns/{CAMPAIGN}": campaign})
        with pytest.raises(ServiceError) as caught:
            await APOLLO.survey(reader, StepRequest(CAMPAIGN, CALL))
        assert caught.value.reason is Reason.PROVIDER_UNAVAILABLE


class TestContentType:
    @pytest.mark.parametrize(
        "content_type",
        [
            "text/html",
            "text/html; charset=utf-8",
            "application/javascript",
            "application/jsonp",
            "text/html, application/json",
            "x",
            "application/x-json-stream;a=/json",
        ],
    )
    async def test_json_that_says_it_is_something_else_is_not_believed(
        self, client: ProviderHttp, content_type: str
    ) -> None:
        ended = await _answered(client, answer(201, b'{"id": 1}', Content_Type=content_type))
        assert ended == Answered(201, b"", "content type is not JSON")

    @pytest.mark.parametrize(
        "content_type",
        [
            "application/json",
            "application/json; charset=utf-8",
            "APPLICATION/JSON",
            "application/vnd.api+json",
            "text/json",
        ],
    )
    async def test_json_is_believed(self, client: ProviderHttp, content_type: str) -> None:
        ended = await _answered(client, answer(201, b'{"id": 1}', Content_Type=content_type))
        assert ended == Answered(201, b'{"id": 1}')

    async def test_an_error_may_be_told_in_any_form(self, client: ProviderHttp) -> None:
        ended = await _answered(client, answer(422, b"<p>No</p>", Content_Type="text/html"))
        assert ended == Answered(422, b"<p>No</p>")


@pytest.fixture
async def client() -> AsyncIterator[ProviderHttp]:
    made = ProviderHttp()
    yield made
    await made.aclose()


async def test_a_switch_of_protocols_says_nothing_of_the_request(client: ProviderHttp) -> None:
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(switch)

    async with ScriptedServer(script) as server:
        with pytest.raises(AnswerLost, match="not HTTP"):
            await client.send(request(server.url()), timeout_seconds=5)


async def _answered(client: ProviderHttp, data: bytes) -> object:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(data)

    async with ScriptedServer(script) as server:
        return await outcome(client, request(server.url()))


async def _outreach_plan(steps: JsonObject) -> Plan:
    sequence: JsonObject = {"data": {"id": 4711, "attributes": {"sequenceType": "interval"}}}
    reader = ScriptedReader({"/sequences/4711": sequence, "/sequenceSteps": steps})
    asked = StepRequest("4711", CALL)
    return OUTREACH.plan(asked, await OUTREACH.survey(reader, asked))


def _sent(plan: Plan, *path: str) -> object:
    value: object = plan.writes[0].body
    for key in path:
        assert isinstance(value, Mapping)
        value = value[key]
    json.dumps(value)
    return value


def _write(provider: Outreach | Apollo | Salesloft, sequence_id: str, step: SequenceStep) -> Write:
    plan = provider.plan(StepRequest(sequence_id, step), Survey(SequenceKind.INTERVAL, {}))
    return plan.writes[0]


def _salesloft_call() -> Call:
    return bind(_write(SALESLOFT, "123", CALL), {})


def _salesloft_step(step_id: int) -> JsonObject:
    return {"id": step_id, "name": "Call", "type": "phone", "day": 1, "cadence": {"id": 123}}
