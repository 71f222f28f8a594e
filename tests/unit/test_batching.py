"""Which texts make a batch, whether a request is admitted, and what a failed batch becomes: pure, under a clock of our own."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedding_service.serving.admission import Load, admit, longest_wait_s, predicted_wait_s
from embedding_service.serving.batching import choose
from embedding_service.serving.cost_model import CostModel, Costs, Measured, budget
from embedding_service.serving.item import Call, Item
from embedding_service.serving.portion import portion
from embedding_service.serving.recovery import Batch, after_death, after_error
from twohop.errors import ModelError, Overloaded

BUDGET, SHARE, NOW = 512, 0.2, 100.0


@dataclass(frozen=True)
class Text:
    tokens: int
    deadline: float | None = None
    is_over: bool = False


texts = st.lists(
    st.builds(Text, st.integers(1, 600), st.one_of(st.none(), st.floats(90, 110)), st.sampled_from([False, False, False, True])),
    max_size=40,
)


@given(online=texts, bulk=texts, owed=st.floats(0, BUDGET))
def test_a_choice_takes_wanted_texts_off_both_heads_and_loses_none(online: list[Text], bulk: list[Text], owed: float) -> None:
    choice = choose(online, bulk, budget=BUDGET, share=SHARE, owed=owed, now=NOW)
    popped = [*online[: choice.online], *bulk[: choice.bulk]]
    over = [text for text in popped if text.is_over]
    assert sorted(map(id, [*choice.batch, *choice.expired, *over])) == sorted(map(id, popped))
    assert all(not text.is_over and (text.deadline is None or text.deadline > NOW) for text in choice.batch)
    assert all(not text.is_over and text.deadline is not None and text.deadline <= NOW for text in choice.expired)


@given(online=texts, bulk=texts, owed=st.floats(0, BUDGET))
def test_a_batch_keeps_to_its_budget_unless_one_text_alone_is_longer(online: list[Text], bulk: list[Text], owed: float) -> None:
    batch = choose(online, bulk, budget=BUDGET, share=SHARE, owed=owed, now=NOW).batch
    longest = max((text.tokens for text in batch), default=0)
    # Where bulk is due its share, one online text goes beside it, however long it is.
    beside = longest if online and bulk else 0
    # What bulk was owed may be due beyond the budget, by one batch's share.
    carried = BUDGET * SHARE if bulk else 0
    assert sum(text.tokens for text in batch) <= max(BUDGET, longest) + carried + beside


@given(online=texts, bulk=texts)
def test_no_free_worker_stays_idle_while_somebody_waits(online: list[Text], bulk: list[Text]) -> None:
    choice = choose(online, bulk, budget=BUDGET, share=SHARE, owed=0.0, now=NOW)
    assert choice.batch or not any(
        not text.is_over and (text.deadline is None or text.deadline > NOW) for text in [*online, *bulk]
    )


def test_the_oldest_of_a_class_go_first() -> None:
    waiting = [Text(100 + number) for number in range(10)]
    assert choose(waiting, [], budget=BUDGET, share=SHARE, owed=0.0, now=NOW).batch == waiting[:5]


def test_alone_bulk_has_the_whole_batch() -> None:
    bulk = [Text(10) for _ in range(100)]
    assert sum(text.tokens for text in choose([], bulk, budget=BUDGET, share=SHARE, owed=0.0, now=NOW).batch) == 510


def test_an_online_text_does_not_sit_out_a_batch_full_of_bulk() -> None:
    batch = choose([Text(10)], [Text(10) for _ in range(100)], budget=BUDGET, share=SHARE, owed=0.0, now=NOW).batch
    assert sum(text.tokens for text in batch) == 10 + 100


@given(online=st.integers(1, 512), bulk=st.integers(1, 512))
def test_over_many_batches_bulk_gets_its_share_of_tokens_whatever_the_lengths(online: int, bulk: int) -> None:
    """Both classes always full, every batch served at once."""
    served = {"online": 0, "bulk": 0}
    owed = 0.0
    for _ in range(200):
        queue = [Text(online)] * 513
        patient = [Text(bulk)] * 513
        choice = choose(queue, patient, budget=BUDGET, share=SHARE, owed=owed, now=NOW)
        owed = choice.owed
        served["online"] += choice.online * online
        served["bulk"] += choice.bulk * bulk
    assert served["bulk"] == pytest.approx(200 * BUDGET * SHARE, abs=BUDGET)
    assert served["online"] > 0


def test_a_wait_is_what_is_ahead_and_online_texts_yield_to_bulk_only_its_share() -> None:
    load = Load(online_s=0.8, bulk_s=10, running_s=0.5)
    assert predicted_wait_s(load, bulk=False, bulk_share=0.2) == pytest.approx(0.5 + 1.0)
    assert predicted_wait_s(load, bulk=True, bulk_share=0.2) == pytest.approx(0.5 + 10.8)
    assert predicted_wait_s(Load(0.8, 0, 0), bulk=False, bulk_share=0.2) == pytest.approx(0.8)
    assert predicted_wait_s(Load(0, 0, 0, starting_s=9), bulk=False, bulk_share=0.2) == 0


@given(wait=st.floats(0, 1000), limit=st.floats(0, 100))
def test_above_the_limit_a_request_is_refused_and_told_when_to_come_again(wait: float, limit: float) -> None:
    if wait <= limit:
        admit(wait, limit)
        return
    with pytest.raises(Overloaded) as refused:
        admit(wait, limit)
    assert refused.value.retry_after_s is not None
    assert 0 < refused.value.retry_after_s <= 10


def test_costs_are_linear_between_what_was_measured_and_proportional_beyond() -> None:
    cost = CostModel([(1024, 0.064), (16, 0.002), (128, 0.009)])
    assert [cost.seconds(tokens) for tokens in (1, 16, 72, 1024, 2048)] == pytest.approx([0.002, 0.002, 0.0055, 0.064, 0.128])
    assert cost.tokens_per_s == pytest.approx(16_000)


def test_a_long_text_makes_its_batch_dearer() -> None:
    cost = CostModel([(512, 0.1)], per_long_token=0.001, short=64)
    assert [cost.seconds(512, longest) for longest in (1, 64, 164)] == pytest.approx([0.1, 0.1, 0.11])


def test_the_budget_is_the_smallest_batch_at_nearly_full_speed() -> None:
    assert budget([(16, 1.0), (64, 2.0), (256, 5.02), (512, 10.0)]) == 256
    assert budget([(16, 1.0)]) == 16


def test_short_batches_are_not_cut_shorter_because_a_small_one_looked_fast() -> None:
    assert budget([(64, 0.0005), (256, 0.02), (512, 0.06), (1024, 0.12)]) == 512
    assert budget([(64, 0.001), (256, 0.004), (512, 0.006), (1024, 0.012)]) == 1024


costs = st.builds(
    lambda alone, streams, gain: Costs(
        Measured([(16, alone), (512, alone * 20)], [(16, alone * gain), (512, alone * gain * 20)]), streams
    ),
    st.floats(0.001, 1), st.integers(1, 16), st.floats(1, 20),
)


@given(
    costs=costs, waiting=st.integers(1, 100_000), first=st.integers(1, 512),
    busy_s=st.lists(st.sampled_from([0.0, 1e9]), max_size=15),
)
def test_a_portion_is_something_and_alone_only_on_an_idle_machine(
    costs: Costs, waiting: int, first: int, busy_s: list[float]
) -> None:
    busy_s = busy_s[: costs.streams - 1]
    free = costs.streams - len(busy_s)
    part = portion(waiting, min(first, waiting), free=free, costs=costs, busy_s=busy_s)
    assert 1 <= part.tokens <= costs.tokens_per_batch
    assert not part.alone or (free == costs.streams > 1 and part.tokens == waiting)
    # All streams that are free, or at once, together take what waits, or a full batch each.
    shares = free + busy_s.count(0.0)
    assert part.alone or part.tokens * shares >= min(waiting, costs.tokens_per_batch * shares)


def test_what_is_left_is_shared_with_a_stream_that_is_free_in_a_moment_and_with_no_other() -> None:
    costs = Costs(Measured([(16, 0.1), (512, 0.5)], [(16, 0.2), (512, 1.0)]), 2)
    for left, busy_s, tokens in ((200, 0.02, 100), (200, 0.0, 100), (200, 0.3, 200), (2000, 0.0, 512), (2000, 0.9, 512)):
        assert portion(left, 20, free=1, costs=costs, busy_s=[busy_s]).tokens == tokens


def test_a_single_text_has_all_of_an_idle_machine_even_if_that_was_measured_while_it_was_busy() -> None:
    costs = Costs(Measured([(16, 1.0), (512, 2.0)], [(16, 0.1), (512, 0.2)]), 2)
    assert portion(20, 20, free=2, costs=costs).alone
    assert not portion(20, 20, free=1, costs=costs).alone
    assert not portion(40, 20, free=2, costs=costs).alone


def test_costs_follow_a_machine_that_gets_slower_and_no_single_outlier() -> None:
    cost = CostModel([(1000, 0.1)])
    cost.observe(1000, 1, 100.0)
    assert cost.seconds(1000) < 0.2
    for _ in range(100):
        cost.observe(1000, 1, 0.2)
    assert cost.tokens_per_s == pytest.approx(5000, rel=0.01)


class Nobody(Call):
    """The caller of items whose end is looked at directly."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def item_succeeded(self) -> None:
        pass

    def fail(self, error: Exception) -> None:
        self.errors.append(error)


def items(count: int) -> list[Item]:
    return [Item(Nobody(), 0, np.array([number], np.int32), None) for number in range(count)]


@given(
    count=st.integers(1, 40), killers=st.sets(st.integers(0, 39)), raisers=st.sets(st.integers(0, 39)),
    accidents=st.lists(st.booleans(), max_size=30),
)
def test_every_item_of_a_failing_batch_ends_once_and_the_innocent_succeed(
    count: int, killers: set[int], raisers: set[int], accidents: list[bool]
) -> None:
    """`accidents`: deaths of workers that are no text's fault, in the first runs."""
    again = deque([Batch(items(count))])
    everybody = list(again[0].items)
    ended: dict[int, str] = {}
    alone_at_accident: set[int] = set()
    runs = 0
    while again:
        batch = again.popleft()
        runs += 1
        assert runs < 1000
        names = [int(item.ids[0]) for item in batch.items]
        accident = accidents.pop() if accidents else False
        if accident or killers & set(names):
            verdict = after_death(batch)
            if accident and verdict.failed:
                alone_at_accident.add(names[0])
        elif raisers & set(names):
            verdict = after_error(batch, ModelError("no"))
        else:
            for name in names:
                assert name not in ended
                ended[name] = "succeeded"
            continue
        again.extendleft(reversed(verdict.again))
        if verdict.failed:
            assert names[0] not in ended
            ended[names[0]] = "failed"
    assert len(ended) == len(everybody)
    guilty = (killers | raisers) & set(range(count))
    assert {name for name, how in ended.items() if how == "failed"} - alone_at_accident == guilty - alone_at_accident


def test_a_batch_forgets_those_nobody_waits_for() -> None:
    wanted, left = items(2)
    left.withdraw()
    assert Batch([wanted, left], deaths=1).wanted() == Batch([wanted], deaths=1)


@given(limit=st.floats(0, 100), left=st.floats(-10, 100), own=st.floats(0, 100))
def test_a_request_may_wait_as_long_as_it_is_still_done_in_half_of_the_time_that_its_caller_gives(
    limit: float, left: float, own: float
) -> None:
    wait = longest_wait_s(limit, left, own)
    assert 0 <= wait <= limit
    assert wait == 0 or wait + own <= left / 2 + 1e-9
