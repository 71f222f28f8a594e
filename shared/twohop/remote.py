"""One remote service: its addresses, and the way every call to it goes. Pick an address, ask, and after a refusal ask
again elsewhere or later, within the deadline."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from twohop.addresses import Address
from twohop.balance import Endpoint, pick
from twohop.deadline import Deadline
from twohop.errors import DeadlineExceeded, TwoHopError
from twohop.retry import REFUSALS, delay_s
from twohop.transport import Method, Reply, Request, Transport

log = logging.getLogger("twohop")


@dataclass
class _Attempts:
    """What a call has been through."""

    tried: set[Endpoint] = field(default_factory=set)
    failures: int = 0
    refusal: TwoHopError | None = None


class Remote:
    def __init__(
        self, service: str, addresses: Sequence[Address], transport: Transport, rng: random.Random | None = None
    ) -> None:
        self.service = service                          # as errors name it: "hop 1 (embedding service)"
        self.transport = transport
        self.endpoints = [Endpoint(address) for address in addresses]
        self._rng = rng or random.Random()
        self._refusal_is_told = False

    async def call(self, method: Method[Request, Reply], request: Request, deadline: Deadline) -> tuple[Reply, Endpoint]:
        """The reply and who gave it.

        Raises the error of the tree that the last status stands for. Unavailable, Overloaded and DeadlineExceeded name
        the service and the address. When time runs out over refusals, the last refusal is raised, not DeadlineExceeded:
        it says what was wrong.
        """
        past = _Attempts()
        while True:
            endpoint = pick(self.endpoints, past.tried, deadline.clock(), self._rng)
            try:
                return await self._attempt(endpoint, method, request, deadline), endpoint
            except TwoHopError as error:
                delay = self._weigh(error, endpoint, past, deadline)
                if delay is None:
                    raise self._named(error, endpoint, past, deadline) from None
            await self.transport.sleep(delay)

    async def _attempt(
        self, endpoint: Endpoint, method: Method[Request, Reply], request: Request, deadline: Deadline
    ) -> Reply:
        left_s = deadline.left_s()
        if left_s <= 0:
            raise DeadlineExceeded("no time was left to ask")
        with endpoint.asked():
            reply = await self.transport.call(endpoint.address, method, request, left_s)
        self._refusal_is_told = False
        endpoint.answered()
        return reply

    def _weigh(self, error: TwoHopError, endpoint: Endpoint, past: _Attempts, deadline: Deadline) -> float | None:
        if self.transport.is_closed:
            return None
        past.failures += 1
        past.tried.add(endpoint)
        elsewhere = len(past.tried) < len(self.endpoints)
        delay = delay_s(
            error, failures=past.failures, elsewhere=elsewhere, left_s=deadline.left_s(), chance=self._rng.random()
        )
        if isinstance(error, REFUSALS):
            past.refusal = error
            endpoint.answered()
            endpoint.refuse(deadline.clock(), error.retry_after_s)
        elif isinstance(error, DeadlineExceeded):
            endpoint.kept_silent(deadline.clock())
        if delay is not None:
            # Once, until it answers again: whoever waits for a service learns why, and no more.
            level, self._refusal_is_told = (logging.DEBUG if self._refusal_is_told else logging.INFO), True
            log.log(level, "%s at %s: %s; asking again in %.2f s", self.service, endpoint.address, error.message, delay)
            if not elsewhere:           # all have refused: from the start, the last one last
                past.tried = {endpoint}
        return delay

    def _named(self, error: TwoHopError, endpoint: Endpoint, past: _Attempts, deadline: Deadline) -> TwoHopError:
        if isinstance(error, DeadlineExceeded) and past.refusal is not None:
            error = past.refusal
        if not isinstance(error, (*REFUSALS, DeadlineExceeded)):
            return error
        where = f"{self.service} at {endpoint.address}"
        if isinstance(error, DeadlineExceeded):
            message = f"{where}: no answer within the {deadline.timeout_s:g} s of the call: {error.message}"
        elif past.failures > 1:
            message = f"{where}: {error.message} (asked {past.failures} times within {deadline.timeout_s:g} s)"
        else:
            message = f"{where}: {error.message}"
        detail = {**error.detail, "address": str(endpoint.address)}
        return type(error)(message, detail=detail, retry_after_s=error.retry_after_s)
