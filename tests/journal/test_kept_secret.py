"""What callers wrote lies encrypted in every store, bound to its request."""

import base64
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from service.domain.errors import Reason, ServiceError
from service.domain.operation import OperationCall, OperationState
from service.domain.plan import Target, Write
from tests.journal.samples import ACME, claim, claimed, ended, key
from tests.journal.stores import FullJournal, JournalStore

CONTENT = "canary-of-a-note-0123456789"


async def _keep(journal: FullJournal, request_id: str = "r-1") -> None:
    operation = await ended(journal, key(request_id), OperationState.NO_EFFECT)
    write = Write(Target.STEP, "POST", f"/{CONTENT}", {"note": CONTENT}, ())
    await journal.save(replace(operation, calls=(OperationCall(write),), trouble=CONTENT))


async def test_content_is_in_no_document(store: JournalStore, journal: FullJournal) -> None:
    await _keep(journal)
    found = await journal.find(key())
    assert found is not None
    assert found.trouble == CONTENT
    (document,) = await store.documents()
    plain = CONTENT.encode()
    forms = [plain, plain.hex().encode()]
    # Base64 depends on what stands before: all three alignments, without their ragged ends.
    forms += [base64.b64encode(plain[start:])[:-4] for start in range(3)]
    assert not [form for form in forms if form in document]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("caller", "erp"),
        ("customer_id", "globex"),
        ("provider", "salesloft"),
        ("request_id", "moved"),
        ("key_id", "gone"),
    ],
)
async def test_a_row_that_was_moved_is_refused(
    store: JournalStore, journal: FullJournal, column: str, value: str
) -> None:
    await _keep(journal)
    await store.execute(f"UPDATE operations SET {column} = '{value}'")  # noqa: S608 - the test's own
    with capture_logs():
        (row,) = await journal.summaries(connection=None, only_unsettled=False, limit=1)
    with capture_logs() as events, pytest.raises(ServiceError) as caught:
        await journal.find(row.operation.key)
    assert caught.value.reason is Reason.INTERNAL
    assert [event["event"] for event in events] == ["operation_unreadable"]
    assert CONTENT not in f"{events}{caught.value!r}{caught.value.__cause__!r}"


async def test_a_document_of_another_row_is_refused(
    store: JournalStore, journal: FullJournal
) -> None:
    """Whichever way one gets at it; and nothing is changed by that."""
    await _keep(journal)
    await _keep(journal, "r-2")
    await store.execute(
        "UPDATE operations SET document = "
        "(SELECT document FROM operations WHERE request_id = 'r-2') "
        "WHERE request_id = 'r-1'"
    )
    documents = sorted(await store.documents())
    for failing in (claim(journal, key()), journal.find(key())):
        with pytest.raises(ServiceError) as caught:
            await failing
        assert caught.value.reason is Reason.INTERNAL
    assert sorted(await store.documents()) == documents


async def test_people_are_shown_the_columns_of_an_unreadable_row(
    store: JournalStore, journal: FullJournal
) -> None:
    """It does not hide the others."""
    await claimed(journal, key("running"), "s-1")
    made = await ended(journal, key("made"), OperationState.INCOMPLETE, sequence_id="s-2")
    lost = await ended(
        journal, key("lost"), OperationState.IN_DOUBT, sequence_id="s-3", is_open=True
    )
    shown = await journal.summaries(connection=None, only_unsettled=True, limit=9)
    await store.execute("UPDATE operations SET key_id = 'gone' WHERE request_id <> 'running'")

    with capture_logs():
        unreadable = await journal.summaries(connection=None, only_unsettled=True, limit=9)
        (alone,) = await journal.show(ACME, "made")

    assert [each.operation for each in shown] == [lost, made, unreadable[2].operation]
    assert alone == unreadable[1]
    for whole, row in zip(shown, unreadable, strict=True):
        operation = row.operation
        assert (operation.key, operation.state, operation.step_id, operation.sent_at_epoch_ms) == (
            whole.operation.key,
            whole.operation.state,
            whole.operation.step_id,
            whole.operation.sent_at_epoch_ms,
        )
        assert operation.holds_sequence == whole.operation.holds_sequence
        assert replace(row, operation=whole.operation, unreadable="") == whole
    assert [bool(row.unreadable) for row in unreadable] == [True, True, False]
    assert unreadable[1].unreadable == (
        "the operation 'made' of caller 'crm' of customer acme at outreach is encrypted with key "
        "'gone', which is not among the given keys"
    )


async def test_an_unreadable_document_does_not_stop_the_others(
    store: JournalStore, journal: FullJournal
) -> None:
    await _keep(journal)
    await store.execute("UPDATE operations SET key_id = 'gone'")
    await journal.discard(await claimed(journal, key("r-2")))
    with pytest.raises(ServiceError, match="INTERNAL"):
        await claim(journal, key())
    await claimed(journal, key("r-3"))
