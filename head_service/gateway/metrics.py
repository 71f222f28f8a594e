"""What the gateway counts, in a registry of its own. Label values come from closed sets: routes, statuses, error
classes and the heads that are offered."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SECONDS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        name = "twohop_gateway_{}".format
        self.requests = Counter(
            name("requests"), "Requests answered; status 499: the caller left.", ["route", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            name("request_seconds"), "From a request's head to its last byte.", ["route"],
            buckets=SECONDS, registry=self.registry,
        )
        self.in_flight = Gauge(name("requests_in_flight"), "Requests being worked on.", registry=self.registry)
        self.texts = Counter(name("texts"), "Texts that were classified by one head or more.", registry=self.registry)
        self.head_calls = Counter(
            name("head_calls"), "Heads asked for; result: ok, or the class of the error.", ["head", "result"],
            registry=self.registry,
        )
        self.hop_seconds = Histogram(
            name("hop_seconds"), "Time of one hop of one request; hop: embed, head.", ["hop"],
            buckets=SECONDS, registry=self.registry,
        )
        self.heads_available = Gauge(
            name("heads_available"), "Offered heads that have an AVAILABLE version.", registry=self.registry
        )
        self.encoders_ready = Gauge(name("encoders_ready"), "Encoders that hop 1 says are ready.", registry=self.registry)
