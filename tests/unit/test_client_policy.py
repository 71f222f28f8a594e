"""What the client decides, as functions of values: no clock, no network."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twohop import addresses, channel
from twohop.addresses import Address
from twohop.balance import Endpoint, pick
from twohop.deadline import Deadline, deadlines
from twohop.errors import ON_THE_WIRE, DeadlineExceeded, InvalidInput, NotFound, Overloaded, TwoHopError, Unavailable
from twohop.remote import Remote
from twohop.retry import LARGEST_S, REFUSALS, delay_s
from twohop.transport import Method, run
from twohop.wire import embedding_pb2 as wire

# --- addresses


@pytest.mark.parametrize(("given", "read", "name"), [
    ("127.0.0.1:50051", ["127.0.0.1:50051"], ""),
    ("hop1.example:1/rich", ["hop1.example:1"], "rich"),
    ("[::1]:50051/rich", ["[::1]:50051"], "rich"),
    ("a:1, b:2", ["a:1", "b:2"], ""),
    (["a:1/x", "b:2/x", "a:1/x"], ["a:1", "b:2"], "x"),
    (("a_b-c:65535",), ["a_b-c:65535"], ""),
])
def test_addresses_are_read_as_people_write_them(given: Any, read: list[str], name: str) -> None:
    found, named = addresses.parse(given)
    assert ([str(address) for address in found], named) == (read, name)


@pytest.mark.parametrize(
    "given", ["", ",", [], "host", "host:", "host:0", "host:65536", "http://host:1", "::1:50051", "a:1/b/c", "a b:1"]
)
def test_what_is_no_address_says_how_one_looks(given: Any) -> None:
    with pytest.raises(InvalidInput, match="HOST:PORT"):
        addresses.parse(given)


def test_replicas_of_one_service_offer_one_encoder() -> None:
    with pytest.raises(InvalidInput, match="x, y"):
        addresses.parse("a:1/x,b:1/y")


def test_this_machine_is_reached_without_a_proxy() -> None:
    for host, direct in (("127.0.0.1", True), ("localhost", True), ("[::1]", True), ("hop1.example", False)):
        assert (("grpc.enable_http_proxy", 0) in channel.options(Address(host, 1), None)) == direct


@pytest.mark.parametrize("token", ["", " ", "two\nlines", "schlüssel"])
def test_a_token_that_no_header_carries_is_refused(token: str) -> None:
    with pytest.raises(InvalidInput, match="ASCII"):
        channel.metadata(token)


# --- deadlines


def test_a_deadline_is_spent_by_the_clock() -> None:
    now = 100.0
    deadline = Deadline.after(2.0, lambda: now)
    now = 101.5
    assert deadline.left_s() == 0.5
    assert deadline.keeping(0.2).left_s() == pytest.approx(0.3)
    assert deadline.keeping(0.2).timeout_s == 2.0
    now = 103.0
    assert deadline.left_s() == -1.0


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), "10", None])
def test_a_time_out_is_a_positive_number_of_seconds(timeout: Any) -> None:
    with pytest.raises(InvalidInput, match="positive"):
        Deadline.after(timeout)


def test_centuries_are_as_good_as_for_ever() -> None:
    deadline = Deadline.after(1e12, lambda: 5.0)
    assert (deadline.timeout_s, deadline.left_s()) == (1e12, 1e9)


def test_a_time_named_in_the_call_bounds_all_of_it_and_the_default_each_request() -> None:
    now = 0.0
    whole, each = deadlines(5.0, 10.0, lambda: now), deadlines(None, 10.0, lambda: now)
    now = 3.0
    assert (whole().left_s(), each().left_s()) == (2.0, 10.0)


# --- asking again


@pytest.mark.parametrize("kind", ON_THE_WIRE)
def test_only_refusals_are_asked_again(kind: type[TwoHopError]) -> None:
    delay = delay_s(kind("x"), failures=1, elsewhere=True, left_s=10, chance=0.5)
    assert (delay is not None) == (kind in REFUSALS)


def test_another_address_is_asked_at_once() -> None:
    assert delay_s(Overloaded("x", retry_after_s=5), failures=1, elsewhere=True, left_s=1, chance=0.9) == 0.0


@given(failures=st.integers(1, 10_000), left=st.floats(0.03, 1e6), chance=st.floats(0, 1, exclude_max=True))
def test_waits_grow_to_a_second_and_leave_time_for_the_attempt(failures: int, left: float, chance: float) -> None:
    delay = delay_s(Unavailable("x"), failures=failures, elsewhere=False, left_s=left, chance=chance)
    assert delay is not None
    assert 0 <= delay <= min(LARGEST_S, left / 2)


def test_the_server_s_word_counts_and_what_cannot_come_in_time_is_not_waited_for() -> None:
    refusal = Overloaded("x", retry_after_s=2.0)
    assert delay_s(refusal, failures=1, elsewhere=False, left_s=10, chance=0.0) == 2.0
    assert delay_s(refusal, failures=1, elsewhere=False, left_s=10, chance=0.8) == pytest.approx(2.4)
    assert delay_s(refusal, failures=1, elsewhere=False, left_s=2.0, chance=0.0) is None
    assert delay_s(Unavailable("x"), failures=1, elsewhere=False, left_s=0.01, chance=0.0) is None


# --- balancing


def endpoints(count: int) -> list[Endpoint]:
    return [Endpoint(Address("h", port)) for port in range(1, count + 1)]


def test_the_shorter_wait_is_preferred_and_runs_out_with_time() -> None:
    a, b = endpoints(2)
    a.report_wait(10.0, now=0.0)
    assert all(pick([a, b], [], 1.0, random.Random(seed)) is b for seed in range(20))
    with b.asked():
        assert all(pick([a, b], [], 11.0, random.Random(seed)) is a for seed in range(20)), "its queue has run empty"


def test_an_address_that_refused_rests_unless_no_other_is_left() -> None:
    a, b = endpoints(2)
    a.refuse(0.0, None)
    assert all(pick([a, b], [], 0.5, random.Random(seed)) is b for seed in range(20))
    assert pick([a, b], [b], 0.5, random.Random(0)) is a
    assert {pick([a, b], [], 2.0, random.Random(seed)) for seed in range(20)} == {a, b}
    assert pick([a], [a], 0.5, random.Random(0)) is a


def test_an_address_that_keeps_silent_rests_longer_each_time_until_it_answers() -> None:
    a, b = endpoints(2)
    for now, rest_s in ((0.0, 1.0), (10.0, 2.0), (20.0, 4.0)):
        a.kept_silent(now)
        assert all(pick([a, b], [], now + rest_s - 0.1, random.Random(seed)) is b for seed in range(20))
        assert not a.rests(now + rest_s)
    a.answered()
    a.kept_silent(30.0)
    assert not a.rests(31.0)


# --- one call, against a transport by rule


class Scripted:
    """Answers from a list; time passes only where the client waits, or an answer says so."""

    is_closed = False

    def __init__(self, *answers: Any) -> None:
        self.now, self.answers, self.asked = 0.0, list(answers), []

    async def call(self, address: Address, method: Any, request: Any, timeout_s: float) -> Any:
        self.asked.append((address.port, round(timeout_s, 6)))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            answer = answer(self, timeout_s)
        if isinstance(answer, TwoHopError):
            raise answer
        return answer

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


PING = Method("/ping", wire.ListEncodersRequest, wire.ListEncodersResponse)


def ask(transport: Scripted, ports: int = 1, timeout_s: float = 10.0) -> Any:
    remote = Remote("hop 1", [Address("h", port) for port in range(1, ports + 1)], transport, random.Random(1))  # type: ignore[arg-type]
    return run(remote.call(PING, wire.ListEncodersRequest(), Deadline.after(timeout_s, lambda: transport.now)))[0]


def takes_all_time(transport: Scripted, timeout_s: float) -> TwoHopError:
    transport.now += timeout_s
    return DeadlineExceeded("Deadline Exceeded")


def test_each_attempt_gets_what_is_left() -> None:
    transport = Scripted(Unavailable("x", retry_after_s=1.0), wire.ListEncodersResponse())
    ask(transport)
    assert transport.asked[0] == (1, 10.0)
    assert 8.7 < transport.asked[1][1] <= 9.0


def test_a_service_that_stays_down_is_asked_to_the_end_and_its_last_refusal_raised() -> None:
    transport = Scripted(Unavailable("refused", detail={"why": 1}))
    with pytest.raises(Unavailable, match=r"hop 1 at h:1: refused \(asked \d+ times within 10 s\)") as caught:
        ask(transport)
    assert 9.9 < transport.now < 10
    assert caught.value.detail == {"why": 1, "address": "h:1"}


def test_a_last_attempt_without_answer_does_not_hide_the_refusals_before() -> None:
    with pytest.raises(Unavailable, match="refused"):
        ask(Scripted(Unavailable("refused"), takes_all_time))
    with pytest.raises(DeadlineExceeded, match="hop 1 at h:1: no answer within the 10 s"):
        ask(Scripted(takes_all_time))


def test_all_addresses_are_tried_before_any_wait() -> None:
    transport = Scripted(Unavailable("a"), Unavailable("b"), Unavailable("c"), wire.ListEncodersResponse())
    ask(transport, ports=3)
    assert sorted(port for port, _ in transport.asked[:3]) == [1, 2, 3]
    assert {left for _, left in transport.asked[:3]} == {10.0}
    assert transport.asked[3][1] < 10.0


def test_what_is_not_a_refusal_comes_back_as_it_was() -> None:
    error = NotFound("no encoder 'x'", detail={"encoder": "x"})
    transport = Scripted(error)
    with pytest.raises(NotFound) as caught:
        ask(transport, ports=2)
    assert caught.value is error
    assert len(transport.asked) == 1


def test_a_second_call_spares_an_address_that_let_the_first_one_wait_in_vain() -> None:
    transport = Scripted(takes_all_time, wire.ListEncodersResponse())
    remote = Remote("hop 1", [Address("h", 1), Address("h", 2)], transport, random.Random(1))  # type: ignore[arg-type]
    with pytest.raises(DeadlineExceeded):
        run(remote.call(PING, wire.ListEncodersRequest(), Deadline.after(1.0, lambda: transport.now)))
    for _ in range(20):
        run(remote.call(PING, wire.ListEncodersRequest(), Deadline.after(1.0, lambda: transport.now)))
    (silent, _), *others = transport.asked
    assert {port for port, _ in others} == {3 - silent}
