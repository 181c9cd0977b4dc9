"""What every journal does: who gets an operation, who may change it, and what is found later."""

from dataclasses import replace

import pytest

from service.application.journal_port import (
    LEASE_SECONDS,
    Claimed,
    Due,
    Finished,
    OwnershipLost,
    Reused,
    RunsElsewhere,
    SequenceHeld,
    StepTaken,
)
from service.domain.operation import (
    CallState,
    Operation,
    OperationCall,
    OperationKey,
    OperationState,
)
from tests.journal.samples import (
    ACME_AT_APOLLO,
    GLOBEX,
    LINK,
    LOOK_AFTER_SECONDS,
    REMOVAL,
    SETTLE_SECONDS,
    STEP,
    claim,
    claimed,
    ended,
    key,
    noted,
    planned,
    sending,
)
from tests.journal.stores import FullJournal, JournalStore

RUNNING, SUCCEEDED = OperationState.RUNNING, OperationState.SUCCEEDED
NO_EFFECT, INCOMPLETE = OperationState.NO_EFFECT, OperationState.INCOMPLETE
IN_DOUBT = OperationState.IN_DOUBT
ENDS = (SUCCEEDED, NO_EFFECT, INCOMPLETE, IN_DOUBT)
UNSETTLED = (NO_EFFECT, INCOMPLETE, IN_DOUBT)


async def _taken(journal: FullJournal, operation: Operation) -> Operation:
    """Take over an operation that nobody has."""
    answer = await journal.take(operation.key, operation.epoch)
    assert isinstance(answer, Claimed)
    return answer.operation


async def _due(journal: FullJournal) -> list[Due]:
    return list(await journal.due(100))


def _as_due(operation: Operation) -> Due:
    return Due(operation.key, operation.epoch)


async def test_a_new_operation_is_ours(journal: FullJournal) -> None:
    answer = await claim(journal, key())
    assert isinstance(answer, Claimed)
    assert answer.operation == Operation(key(), "s-1", answer.operation.epoch)
    assert answer.now_epoch_ms > 1_600_000_000_000
    assert await journal.find(key()) == answer.operation


async def test_what_is_not_there_is_not_found(journal: FullJournal) -> None:
    await claimed(journal, key())
    for other in (key("r-2"), key(connection=GLOBEX), key(caller="erp")):
        assert await journal.find(other) is None


async def test_who_comes_again_while_it_runs_is_told(
    store: JournalStore, journal: FullJournal
) -> None:
    operation = await claimed(journal, key())
    await store.pass_seconds(LEASE_SECONDS - 5)
    assert await claim(journal, key()) == RunsElsewhere()
    assert await journal.take(key(), operation.epoch) is None
    assert await _due(journal) == []


@pytest.mark.parametrize("state", [RUNNING, *ENDS])
async def test_a_key_belongs_to_one_request(journal: FullJournal, state: OperationState) -> None:
    if state is RUNNING:
        await claimed(journal, key())
    else:
        await ended(journal, key(), state)
    assert await claim(journal, key(), fingerprint="another") == Reused("print")
    found = await journal.find(key())
    assert found is not None
    assert found.state is state


async def test_what_succeeded_is_told_again(journal: FullJournal) -> None:
    operation = await ended(journal, key(), SUCCEEDED)
    assert await claim(journal, key()) == Finished(operation)
    assert await journal.find(key()) == operation


async def test_j3_one_operation_holds_a_sequence(store: JournalStore, journal: FullJournal) -> None:
    operation = await claimed(journal, key())
    await store.pass_seconds(10)
    for other in (key("r-2"), key(caller="erp")):
        held = await claim(journal, other)
        assert isinstance(held, SequenceHeld)
        assert (held.holder, held.holder_epoch, held.is_running) == (key(), operation.epoch, True)
        assert held.wait_seconds == pytest.approx(LEASE_SECONDS - 10, abs=2)
        assert await journal.find(other) is None


async def test_other_sequences_customers_and_providers_are_free(journal: FullJournal) -> None:
    await claimed(journal, key())
    await claimed(journal, key("r-2"), "s-2")
    await claimed(journal, key(connection=GLOBEX))
    await claimed(journal, key(connection=ACME_AT_APOLLO))


@pytest.mark.parametrize("state", ENDS)
async def test_an_end_sets_the_sequence_free(journal: FullJournal, state: OperationState) -> None:
    await ended(journal, key(), state)
    await claimed(journal, key("r-2"))


@pytest.mark.parametrize("state", ENDS)
async def test_j7_an_end_holds_the_sequence_while_a_step_may_appear(
    store: JournalStore, journal: FullJournal, state: OperationState
) -> None:
    operation = await ended(journal, key(), state, is_open=True)
    await store.pass_seconds(50)
    held = await claim(journal, key("r-2"))
    assert isinstance(held, SequenceHeld)
    assert (held.holder, held.holder_epoch) == (key(), operation.epoch)
    assert not held.is_running
    assert held.wait_seconds == pytest.approx(SETTLE_SECONDS - 50, abs=2)
    await store.pass_seconds(SETTLE_SECONDS)
    held = await claim(journal, key("r-2"))
    assert isinstance(held, SequenceHeld)
    assert held.wait_seconds <= 0


async def test_who_is_silent_loses_its_operation(store: JournalStore, journal: FullJournal) -> None:
    """By name, or found due; the other operation's claim tells how to get at it."""
    silent = await sending(journal, await claimed(journal, key()))
    await store.pass_seconds(LEASE_SECONDS + 1)
    held = await claim(journal, key("r-2"))
    assert isinstance(held, SequenceHeld)
    assert (held.is_running, held.holder_epoch) == (True, silent.epoch)
    assert held.wait_seconds <= 0
    assert await _due(journal) == [_as_due(silent)]

    answer = await claim(journal, key())
    assert isinstance(answer, Claimed)
    mine = answer.operation
    assert mine == replace(silent.taken_over(), epoch=mine.epoch)
    assert (mine.calls[0].state, mine.is_open, mine.state) == (CallState.LOST, True, RUNNING)
    assert mine.epoch != silent.epoch
    assert await journal.find(key()) == mine
    assert await _due(journal) == []
    assert await claim(journal, key()) == RunsElsewhere()


@pytest.mark.parametrize("state", UNSETTLED)
async def test_what_is_not_settled_is_taken_over(
    journal: FullJournal, state: OperationState
) -> None:
    before = await ended(journal, key(), state)
    mine = await claimed(journal, key())
    assert mine == replace(before.taken_over(), epoch=mine.epoch, state=RUNNING)
    assert await journal.find(key()) == mine
    assert mine.sent_at_epoch_ms == before.sent_at_epoch_ms
    assert isinstance(await claim(journal, key("r-2")), SequenceHeld)


async def test_what_had_no_effect_runs_as_if_it_were_new(journal: FullJournal) -> None:
    """It knows one thing more: which steps are not its own."""
    before = await ended(journal, key(), NO_EFFECT)
    undone = replace(before, ids={"step_id": 77}, undo=OperationCall(REMOVAL, CallState.DONE))
    await journal.save(undone)
    mine = await claimed(journal, key())
    assert (mine.calls, mine.ids, mine.undo) == ((), {}, None)
    assert mine.snapshot == {"9", "77"}


@pytest.mark.parametrize("state", UNSETTLED)
async def test_nothing_is_taken_over_while_another_holds_the_sequence(
    journal: FullJournal, state: OperationState
) -> None:
    before = await ended(journal, key(), state)
    other = await claimed(journal, key("r-2"))
    held = await claim(journal, key())
    assert isinstance(held, SequenceHeld)
    assert (held.holder, held.holder_epoch) == (other.key, other.epoch)
    assert await journal.take(key(), before.epoch) is None
    assert await journal.find(key()) == before


async def test_taking_is_for_who_knows_the_epoch(store: JournalStore, journal: FullJournal) -> None:
    silent = await claimed(journal, key())
    await store.pass_seconds(LEASE_SECONDS + 1)
    assert await journal.take(key("r-2"), silent.epoch) is None
    assert await journal.take(key(), silent.epoch + 1000) is None
    faster = await _taken(journal, silent)
    await store.pass_seconds(LEASE_SECONDS + 1)
    assert await journal.take(key(), silent.epoch) is None
    assert (await _taken(journal, faster)).epoch not in {silent.epoch, faster.epoch}


async def test_j16_a_second_look_leaves_what_succeeded(
    store: JournalStore, journal: FullJournal
) -> None:
    adopted = await ended(
        journal, key(), SUCCEEDED, is_open=True, look_after_seconds=SETTLE_SECONDS
    )
    await store.pass_seconds(SETTLE_SECONDS + 1)
    assert await _due(journal) == [_as_due(adopted)]
    looking = await _taken(journal, adopted)
    assert looking == replace(adopted, epoch=looking.epoch)
    assert await claim(journal, key()) == Finished(looking)
    assert await _due(journal) == []
    with pytest.raises(OwnershipLost):
        await journal.save(adopted)
    await journal.save(replace(looking, is_open=False, duplicates=frozenset({"2"})))
    await claimed(journal, key("r-2"))


async def test_a_second_look_that_died_is_due_again(
    store: JournalStore, journal: FullJournal
) -> None:
    adopted = await ended(journal, key(), SUCCEEDED, is_open=True, look_after_seconds=1)
    await store.pass_seconds(2)
    looking = await _taken(journal, adopted)
    await store.pass_seconds(LEASE_SECONDS - 5)
    await journal.renew([looking])
    await store.pass_seconds(LEASE_SECONDS - 5)
    assert await _due(journal) == []
    await store.pass_seconds(10)
    assert await _due(journal) == [_as_due(looking)]


@pytest.mark.parametrize("state", [RUNNING, *ENDS])
async def test_what_is_saved_is_found(journal: FullJournal, state: OperationState) -> None:
    if state is RUNNING:
        operation = planned(await claimed(journal, key()))
        await journal.save(operation)
    else:
        operation = await ended(journal, key(), state)
    assert await journal.find(key()) == operation


async def test_j1_the_store_says_when_a_write_is_sent(
    store: JournalStore, journal: FullJournal
) -> None:
    answer = await claim(journal, key())
    assert isinstance(answer, Claimed)
    first = await sending(journal, answer.operation)
    assert first.sent_at_epoch_ms is not None
    assert first.sent_at_epoch_ms >= answer.now_epoch_ms
    assert await journal.find(key()) == first

    await store.pass_seconds(5)
    found = await journal.find(key())
    assert found is not None
    done = noted(found, CallState.DONE)
    saved_at_epoch_ms = await journal.save(done)
    assert found.sent_at_epoch_ms is not None
    assert saved_at_epoch_ms - found.sent_at_epoch_ms == pytest.approx(5000, abs=2000)
    assert await journal.find(key()) == done

    link_sent = done.with_call(1, done.calls[1].moved(CallState.SENT))
    link_sent_at_epoch_ms = await journal.save(link_sent, is_sending=True)
    found = await journal.find(key())
    assert found is not None
    assert found.sent_at_epoch_ms == link_sent_at_epoch_ms
    assert found.calls == (
        done.calls[0],
        OperationCall(LINK, CallState.SENT, link_sent_at_epoch_ms),
    )


async def test_j1_nothing_is_sent_that_was_not_said_to_be(journal: FullJournal) -> None:
    operation = planned(await claimed(journal, key()))
    sent = operation.with_call(0, operation.calls[0].moved(CallState.SENT))
    with pytest.raises(AssertionError):
        await journal.save(sent)


async def test_the_time_of_an_undo_is_kept(journal: FullJournal) -> None:
    operation = noted(await sending(journal, await claimed(journal, key())), CallState.DONE)
    operation = replace(operation, undo=OperationCall(REMOVAL, CallState.SENT))
    sent_at_epoch_ms = await journal.save(operation, is_sending=True)
    found = await journal.find(key())
    assert found is not None
    assert found.undo == OperationCall(REMOVAL, CallState.SENT, sent_at_epoch_ms)
    assert found.calls == operation.calls


async def test_saving_renews_the_lease(store: JournalStore, journal: FullJournal) -> None:
    operation = await claimed(journal, key())
    for _ in range(3):
        await store.pass_seconds(LEASE_SECONDS - 5)
        await journal.save(operation)
    assert await claim(journal, key()) == RunsElsewhere()
    assert await _due(journal) == []


async def test_an_end_is_due_when_it_says(store: JournalStore, journal: FullJournal) -> None:
    operation = await ended(journal, key(), IN_DOUBT, look_after_seconds=LOOK_AFTER_SECONDS)
    await ended(journal, key("never"), IN_DOUBT)
    await store.pass_seconds(LOOK_AFTER_SECONDS - 5)
    assert await _due(journal) == []
    await store.pass_seconds(10)
    assert await _due(journal) == [_as_due(operation)]
    mine = await _taken(journal, operation)
    assert (mine.state, mine.calls[0].state) == (RUNNING, CallState.LOST)


async def test_what_is_due_longest_comes_first(store: JournalStore, journal: FullJournal) -> None:
    operations = []
    for number in range(3):
        operation = await ended(
            journal,
            key(f"looked at {number}"),
            IN_DOUBT,
            sequence_id=f"s-{number}",
            look_after_seconds=30,
        )
        operations.append(operation)
        await store.pass_seconds(5)
    runs = await claimed(journal, key())
    await store.pass_seconds(60)
    assert await _due(journal) == [_as_due(each) for each in (*operations, runs)]
    assert list(await journal.due(2)) == [_as_due(each) for each in operations[:2]]


async def test_an_end_may_be_saved_again(journal: FullJournal) -> None:
    """Who was told that the store failed does not know whether the end is kept."""
    for number, state in enumerate(ENDS):
        operation = await ended(journal, key(state.value), state, step_id=number)
        await journal.save(operation)
        assert await journal.find(operation.key) == operation


@pytest.mark.parametrize(
    ("state", "other"),
    [(state, other) for state in ENDS for other in OperationState if other is not state],
)
async def test_only_a_new_owner_changes_an_end(
    journal: FullJournal, state: OperationState, other: OperationState
) -> None:
    operation = await ended(journal, key(), state)
    with pytest.raises(AssertionError):
        await journal.save(replace(operation, state=other))
    assert await journal.find(key()) == operation


async def test_j2_who_lost_an_operation_changes_nothing(
    store: JournalStore, journal: FullJournal
) -> None:
    lost = await claimed(journal, key())
    await store.pass_seconds(LEASE_SECONDS + 1)
    mine = await claimed(journal, key())
    for failing in (
        journal.save(planned(lost)),
        journal.save(lost.moved(SUCCEEDED)),
        journal.save(
            planned(lost).with_call(0, OperationCall(STEP, CallState.SENT)), is_sending=True
        ),
        journal.discard(lost),
    ):
        with pytest.raises(OwnershipLost):
            await failing
    assert await journal.find(key()) == mine
    await store.pass_seconds(LEASE_SECONDS - 5)
    await journal.renew([lost])
    await store.pass_seconds(10)
    assert await _due(journal) == [_as_due(mine)]


async def test_who_lost_an_operation_that_is_gone_changes_nothing(journal: FullJournal) -> None:
    lost = await claimed(journal, key())
    await journal.discard(lost)
    for failing in (journal.save(lost), journal.discard(lost)):
        with pytest.raises(OwnershipLost):
            await failing
    await journal.renew([lost])
    assert await journal.find(key()) is None


async def test_what_was_not_sent_is_discarded(journal: FullJournal) -> None:
    operation = await claimed(journal, key())
    await journal.save(planned(operation))
    await journal.discard(operation)
    assert await journal.find(key()) is None
    await claimed(journal, key("r-2"))


async def test_what_was_sent_is_never_discarded(journal: FullJournal) -> None:
    operation = await sending(journal, await claimed(journal, key()))
    with pytest.raises(OwnershipLost):
        await journal.discard(operation)
    await journal.save(noted(operation, CallState.REFUSED).moved(NO_EFFECT))
    again = await claimed(journal, key())
    with pytest.raises(OwnershipLost):
        await journal.discard(again)
    assert await journal.find(key()) == again


async def test_leases_are_renewed(store: JournalStore, journal: FullJournal) -> None:
    kept = [await claimed(journal, key(f"kept {number}"), f"s-{number}") for number in range(3)]
    silent = await claimed(journal, key(), "s-3")
    for _ in range(3):
        await store.pass_seconds(LEASE_SECONDS - 5)
        await journal.renew(kept)
    assert await _due(journal) == [_as_due(silent)]
    assert await claim(journal, kept[0].key, "s-0") == RunsElsewhere()


@pytest.mark.parametrize("state", UNSETTLED)
async def test_a_renewal_that_comes_late_changes_no_end(
    store: JournalStore, journal: FullJournal, state: OperationState
) -> None:
    """One that was under way when the end was committed."""
    operation = await ended(journal, key(), state, look_after_seconds=5)
    await journal.renew([operation, replace(operation, state=RUNNING)])
    await store.pass_seconds(10)
    assert await _due(journal) == [_as_due(operation)]


async def test_a_renewal_that_comes_late_gives_nothing_to_do(
    store: JournalStore, journal: FullJournal
) -> None:
    operation = await ended(journal, key(), SUCCEEDED)
    await journal.renew([operation, replace(operation, state=RUNNING)])
    await store.pass_seconds(LEASE_SECONDS * 2)
    assert await _due(journal) == []


async def test_renewing_nothing_is_no_error(journal: FullJournal) -> None:
    await journal.renew([])


async def test_j2_an_epoch_is_never_given_again(store: JournalStore, journal: FullJournal) -> None:
    epochs = []
    for _ in range(3):
        operation = await claimed(journal, key())
        await journal.discard(operation)
        await claim(journal, key("other"), "s-2")
        epochs.append(operation.epoch)
    for _ in range(3):
        epochs.append((await claimed(journal, key())).epoch)
        await store.pass_seconds(LEASE_SECONDS + 1)
    assert len(set(epochs)) == 6


async def test_steps_of_others_are_those_on_the_same_sequence(journal: FullJournal) -> None:
    for number, state in enumerate((SUCCEEDED, INCOMPLETE), start=1):
        await ended(journal, key(state.value), state, step_id=number)
    await ended(journal, key("elsewhere"), SUCCEEDED, sequence_id="s-2", step_id=3)
    await ended(journal, key("globex", GLOBEX), SUCCEEDED, step_id=4)
    await ended(journal, key("apollo", ACME_AT_APOLLO), SUCCEEDED, step_id=5)
    await ended(journal, key("erp", caller="erp"), SUCCEEDED, step_id=6)
    await ended(journal, key("nothing"), NO_EFFECT)
    mine = replace(await sending(journal, await claimed(journal, key())), ids={"step_id": 7})
    await journal.save(mine)
    assert await journal.steps_of_others(mine) == {"1", "2", "6"}


async def test_j5_a_step_belongs_to_one_operation(journal: FullJournal) -> None:
    await ended(journal, key(), SUCCEEDED, step_id=1)
    await ended(journal, key("globex", GLOBEX), SUCCEEDED, step_id=1)
    await ended(journal, key("r-2"), SUCCEEDED, sequence_id="s-2", step_id=1)
    mine = await sending(journal, await claimed(journal, key("r-3")))
    with pytest.raises(StepTaken):
        await journal.save(replace(noted(mine, CallState.DONE), ids={"step_id": 1}))
    assert await journal.find(mine.key) == mine


async def test_what_is_old_is_forgotten(store: JournalStore, journal: FullJournal) -> None:
    """Unless its sequence is held; and what has not ended well is kept longer."""
    for number, state in enumerate(ENDS):
        await ended(journal, key(state.value), state, step_id=number)
    await ended(journal, key("open"), IN_DOUBT, sequence_id="s-2", is_open=True)
    await claimed(journal, key("runs"), "s-3")
    await store.pass_seconds(100)
    await ended(journal, key("new"), SUCCEEDED, step_id=100)

    async def forget(finished_before_seconds: float, open_before_seconds: float) -> set[str]:
        before = await _request_ids(journal)
        count = await journal.forget(
            finished_before_seconds=finished_before_seconds,
            open_before_seconds=open_before_seconds,
        )
        forgotten = before - await _request_ids(journal)
        assert len(forgotten) == count
        return forgotten

    assert await forget(110, 110) == set()
    assert await forget(90, 110) == {"succeeded", "no_effect"}
    assert await forget(90, 110) == set()
    assert await forget(90, 90) == {"incomplete", "in_doubt"}
    assert await _request_ids(journal) == {"open", "runs", "new"}
    await claimed(journal, key("succeeded"), "s-4", "another")


async def _request_ids(journal: FullJournal) -> set[str]:
    summaries = await journal.summaries(connection=None, only_unsettled=False, limit=100)
    return {each.operation.key.request_id for each in summaries}


async def test_people_see_what_changed_last_first(
    store: JournalStore, journal: FullJournal
) -> None:
    async def listed(
        connection: object = None, *, only_unsettled: bool = False, limit: int = 100
    ) -> list[str]:
        summaries = await journal.summaries(
            connection=connection,  # type: ignore[arg-type] # either key of the samples, or None
            only_unsettled=only_unsettled,
            limit=limit,
        )
        return [each.operation.key.request_id for each in summaries]

    for number, state in enumerate(ENDS):
        await ended(journal, key(state.value), state, step_id=number)
        await store.pass_seconds(1)
    await claimed(journal, key("runs", GLOBEX))
    newest_first = ["runs", "in_doubt", "incomplete", "no_effect", "succeeded"]
    assert await listed() == newest_first
    assert await listed(limit=2) == newest_first[:2]
    assert await listed(only_unsettled=True) == ["runs", "in_doubt", "incomplete"]
    assert await listed(GLOBEX) == ["runs"]
    assert await listed(GLOBEX, only_unsettled=True) == ["runs"]
    assert await listed(ACME_AT_APOLLO) == []


async def test_people_see_an_operation_with_its_times(
    store: JournalStore, journal: FullJournal
) -> None:
    answer = await claim(journal, key())
    assert isinstance(answer, Claimed)
    await store.pass_seconds(20)
    (summary,) = await journal.show(key().connection, "r-1")
    assert summary.operation == answer.operation
    assert summary.due_at_epoch_ms is not None
    now_epoch_ms = await journal.save(answer.operation.moved(SUCCEEDED))
    (summary,) = await journal.show(key().connection, "r-1")
    assert summary.updated_at_epoch_ms == now_epoch_ms
    assert now_epoch_ms - summary.created_at_epoch_ms == pytest.approx(20_000, abs=2000)
    assert summary.due_at_epoch_ms is None


async def test_people_see_a_request_id_of_every_caller(journal: FullJournal) -> None:
    await ended(journal, key(), SUCCEEDED)
    await ended(journal, key(caller="erp"), NO_EFFECT)
    await ended(journal, key(connection=GLOBEX), SUCCEEDED)
    await ended(journal, key("r-2"), NO_EFFECT)
    shown = await journal.show(key().connection, "r-1")
    assert [each.operation.key for each in shown] == [key(caller="erp"), key()]


@pytest.mark.parametrize("text", ["", "'; --", "ключ 鍵 🔑", "a:b\tc"])
async def test_any_text_is_a_key(journal: FullJournal, text: str) -> None:
    odd = OperationKey(text, key().connection, text)
    operation = await claimed(journal, odd, text, text)
    assert await journal.find(odd) == operation
    assert await claim(journal, odd, text, text) == RunsElsewhere()


async def test_what_is_not_settled_is_counted(store: JournalStore, journal: FullJournal) -> None:
    assert await journal.unsettled() == ()
    for number, state in enumerate(ENDS):
        is_open = state in {SUCCEEDED, IN_DOUBT}
        look_after_seconds = LOOK_AFTER_SECONDS if is_open else None
        await ended(
            journal,
            key(f"r-{number}"),
            state,
            sequence_id=f"s-{number}",
            is_open=is_open,
            look_after_seconds=look_after_seconds,
        )
    await store.pass_seconds(1)
    await ended(journal, key("r-8"), INCOMPLETE, sequence_id="s-8")
    await claimed(journal, key("r-9"), "s-9")

    counts = await journal.unsettled()

    assert {(each.state, each.is_looked_after): each.count for each in counts} == {
        (RUNNING, True): 1,
        (IN_DOUBT, True): 1,
        (INCOMPLETE, False): 2,
    }
    found = await journal.summaries(connection=None, only_unsettled=True, limit=100)
    for each in counts:
        assert each.oldest_created_at_epoch_ms == min(
            summary.created_at_epoch_ms
            for summary in found
            if summary.operation.state is each.state
            and (summary.due_at_epoch_ms is not None) is each.is_looked_after
        )
