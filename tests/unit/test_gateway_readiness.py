"""What the gateway says about itself and its heads, given what both hops say."""

from __future__ import annotations

from dataclasses import replace

from rule_hops import MINILM, Gateway, Hops, run

from head_service.gateway.fleet import Fleet, Head, Offer, Version, head_of
from twohop.errors import Unavailable
from twohop.types import HeadStatus

OFFER = Offer("topic", ("topic", "topic-canary"), {2: ("stable",), 3: ("canary",)}, "enc-1", ("a", "b"), {"accuracy": 0.9})


def head(state: str) -> Head:
    return Head(OFFER, (Version(2, state, ("stable",)),))


def statuses(model: str, **states: str) -> dict[str, list[HeadStatus]]:
    return {model: [HeadStatus(model, int(version[1:]), state, "") for version, state in states.items()]}


def test_ready_means_an_encoder_is_ready_and_one_head_at_least_is_available() -> None:
    good, bad = head("AVAILABLE"), head("LOADING")
    assert Fleet((bad, good), (MINILM,)).why_not_ready() is None
    warming = replace(MINILM, ready=False)
    for heads, encoders in [((good,), ()), ((good,), (warming,)), ((bad,), (MINILM,)), ((), (MINILM,))]:
        assert Fleet(heads, encoders).why_not_ready() is not None


def test_the_reason_tells_what_the_services_said() -> None:
    assert Fleet((), (), {"embedding": "h:50051 refuses"}).why_not_ready() == "h:50051 refuses"
    reason = Fleet((head("UNKNOWN"),), (MINILM,), {"heads": "h:8500 refuses"}).why_not_ready()
    assert reason == "no head is available (topic): h:8500 refuses"


def test_versions_have_the_repositorys_roles_and_hop_2s_states() -> None:
    found = head_of(OFFER, statuses("topic", v2="AVAILABLE", v1="END") | statuses("topic-canary", v3="LOADING"))
    assert found.versions == (Version(3, "LOADING", ("canary",)), Version(2, "AVAILABLE", ("stable",)))


def test_a_version_that_hop_2_does_not_mention_is_unknown_and_one_on_its_way_out_is_still_listed() -> None:
    found = head_of(OFFER, statuses("topic", v1="UNLOADING"))
    assert [(each.number, each.state) for each in found.versions] == [(3, "UNKNOWN"), (2, "UNKNOWN"), (1, "UNLOADING")]


def test_a_promoted_canary_is_available_while_its_old_name_is_unloaded() -> None:
    found = head_of(OFFER, statuses("topic", v3="AVAILABLE") | statuses("topic-canary", v3="END"))
    assert found.versions[0] == Version(3, "AVAILABLE", ("canary",))


def test_heads_are_listed_with_all_that_is_known() -> None:
    async def check(gateway: Gateway) -> None:
        listed = (await gateway.http.get("/v1/heads")).json()
        version = {"version": 3, "state": "AVAILABLE", "roles": []}
        known = {"versions": [version], "encoder": MINILM.fingerprint, "labels": None, "metrics": None}
        missing = {"versions": [], "encoder": None, "labels": None, "metrics": None}
        assert listed == {"heads": [{"name": "sentiment", **known}, {"name": "topic", **missing}]}

    run(check, Hops(states={"sentiment": "AVAILABLE"}))


def test_a_new_version_of_a_named_head_is_listed_with_its_own_encoder() -> None:
    async def check(gateway: Gateway) -> None:
        gateway.hops.version, gateway.hops.fingerprint = 4, "enc-000000000004"
        await gateway.watch.look()
        listed = (await gateway.http.get("/v1/heads")).json()["heads"]
        assert [(head["versions"][0]["version"], head["encoder"]) for head in listed] == [(4, "enc-000000000004")] * 2

    run(check)


def test_readiness_follows_hop_1_away_and_back() -> None:
    async def check(gateway: Gateway) -> None:
        assert (await gateway.http.get("/readyz")).status_code == 200
        gateway.hops.hop_1 = Unavailable("h:50051 refuses")
        await gateway.watch.look()
        away = await gateway.http.get("/readyz")
        assert (away.status_code, away.json()["reason"]) == (503, "h:50051 refuses")
        assert await gateway.metric("twohop_gateway_encoders_ready") == 0
        gateway.hops.hop_1 = None
        await gateway.watch.look()
        assert (await gateway.http.get("/readyz")).status_code == 200

    run(check)


def test_one_broken_head_does_not_take_the_gateway_from_the_others() -> None:
    async def check(gateway: Gateway) -> None:
        gateway.hops.states["topic"] = "END"
        await gateway.watch.look()
        assert (await gateway.http.get("/readyz")).status_code == 200
        assert await gateway.metric("twohop_gateway_heads_available") == 1
        gateway.hops.states["sentiment"] = "LOADING"
        await gateway.watch.look()
        assert "no head is available" in (await gateway.http.get("/readyz")).json()["reason"]

    run(check)
