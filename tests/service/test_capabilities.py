"""What `ListProviderCapabilities` says, against what the same service then does.

Each field's fate is written by hand in `step_fates`, and tried there at each vendor.
"""

import uuid

import grpc
import pytest

from engagement.v1 import provider_capabilities_pb2 as capabilities_pb2
from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1.sequence_step_service_pb2 import (
    ListProviderCapabilitiesRequest,
    ListProviderCapabilitiesResponse,
)
from service.providers.registry import PROVIDERS
from tests.service.conftest import Client, NewAccount
from tests.service.grpc_failure import failure_of
from tests.service.step_fates import ALL, FATES, INTEGRATION, MESSAGES
from tests.service.step_messages import AUTO_EMAIL, LINKEDIN, warnings_of
from tests.service.vendor_account import VendorAccount

VENDORS = ("outreach", "salesloft", "apollo")
WAIT, TYPE = "step.interval_seconds", "step.type"


async def listed(client: Client, provider: str = "") -> ListProviderCapabilitiesResponse:
    """Ask as a caller does who knows no customer."""
    request = ListProviderCapabilitiesRequest(provider=provider)
    answer: ListProviderCapabilitiesResponse = await client.stub.ListProviderCapabilities(request)
    return answer


async def fields(
    client: Client, vendor: str
) -> dict[tuple[step_pb2.StepType, str], capabilities_pb2.FieldCapability]:
    """Return what is said of each field of each type."""
    (provider,) = (await listed(client, vendor)).providers
    return {
        (of_type.type, each.field): each
        for of_type in provider.step_types
        for each in of_type.fields
    }


def support_of(field: capabilities_pb2.FieldCapability) -> str:
    name = capabilities_pb2.FieldSupport.Name(field.support)
    return name.removeprefix("FIELD_SUPPORT_").lower()


async def test_all_providers_are_listed_or_the_one_that_is_asked_for(client: Client) -> None:
    everything = await listed(client)
    assert [each.provider for each in everything.providers] == list(VENDORS)
    for provider in everything.providers:
        assert list((await listed(client, provider.provider.upper())).providers) == [provider]
        assert [each.type for each in provider.step_types] == [*step_pb2.StepType.values()][1:]


async def test_a_provider_that_there_is_not_is_refused(client: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await listed(client, "hubspot")
    failure = failure_of(caught.value)
    assert failure.outcome == ("INVALID_ARGUMENT", "PROVIDER_UNKNOWN", ("provider",))
    assert "outreach, salesloft, apollo" in failure.message


@pytest.mark.parametrize("vendor", VENDORS)
async def test_each_field_meets_the_fate_that_is_told(client: Client, vendor: str) -> None:
    told = await fields(client, vendor)
    fates = {(kind, fate.path): fate for fate in FATES[vendor] for kind in fate.types}
    # The subject is a part of the content, and the type always given.
    assert {key for key in fates if not key[1].endswith("subject")} == {
        key for key in told if key[1] != TYPE
    }
    for key, fate in fates.items():
        if key not in told:
            continue
        support = support_of(told[key])
        arrives = {"native", "emulated"}  # Which of the two may depend on the value.
        assert support == fate.support or {support, fate.support} == arrives, key
        if told[key].problem_type:
            assert told[key].problem_type in {problem for problem, _ in fate.warnings}, key
        assert bool(told[key].note) is (support != "native"), key


@pytest.mark.parametrize("vendor", VENDORS)
async def test_waits_are_kept_exactly_in_the_steps_that_are_told(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    account = await new_account(vendor)
    told = await fields(client, vendor)
    for kind in ALL:
        granularity_seconds = told[kind, WAIT].granularity_seconds
        for count in (0, 1, 3, 365):
            seconds = count * granularity_seconds
            assert not await is_rounded(client, account, kind, seconds), (kind, seconds)
        if granularity_seconds > 1:
            assert await is_rounded(client, account, kind, 3 * granularity_seconds + 1), kind
    assert {field.granularity_seconds for (_, path), field in told.items() if path != WAIT} == {0}


async def is_rounded(
    client: Client, account: VendorAccount, kind: step_pb2.StepType, seconds: int
) -> bool:
    """Whether a wait brings a warning."""
    wanted = step_pb2.SequenceStep(type=kind, interval_seconds=seconds)
    if (account.vendor, kind) == ("salesloft", LINKEDIN):
        wanted.custom_fields.update(INTEGRATION)
    elif kind in MESSAGES:
        wanted.template.id = account.template_id
    answer = await client.create(account, wanted, validate_only=True)
    return ("INTERVAL_ROUNDED", WAIT) in warnings_of(answer)


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("path", ["step.template.id", "step.template.content"])
async def test_what_a_connection_needs_covers_each_request(
    client: Client, new_account: NewAccount, vendor: str, path: str
) -> None:
    """By what the adapter itself names when a provider answers 403."""
    account = await new_account(vendor)
    wanted = step_pb2.SequenceStep(type=AUTO_EMAIL)
    if path == "step.template.id":
        wanted.template.id = account.template_id
    else:
        wanted.template.content.MergeFrom(
            step_pb2.TemplateContent(subject="Hello", body_html="<p>Hello</p>")
        )
    await client.create(account, wanted, request_id=str(uuid.uuid4()))

    (provider,) = (await listed(client, vendor)).providers
    needs = {each.need for each in provider.connection_needs if each.field in {"", path}}
    registration = next(each for each in PROVIDERS.values() if each.name == vendor)
    base = f"https://{vendor}.test"
    adapter = registration.adapter(base)
    for request in await account.requests():
        below = registration.api_url.partition("://")[2].partition("/")[2]
        place = request["path"].partition(f"/{below}")[2]
        permission = adapter.permission(request["method"], place)
        assert any(permission.startswith(need) for need in needs), (request["path"], permission)
