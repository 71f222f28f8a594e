"""What hop 1 counts, in a registry of its own. Label values come from closed sets: encoders, priorities, error classes."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from twohop import __version__

SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
TOKENS = tuple(2.0**power for power in range(3, 18))


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        name = "twohop_embedding_{}".format
        self.requests = Counter(
            name("requests"), "Requests ended; status: ok, or the class of the error. Unknown encoders share a label.",
            ["encoder", "status"], registry=self.registry,
        )
        self.request_seconds = Histogram(
            name("request_seconds"), "Of requests that were answered with vectors, from arrival to reply.",
            buckets=SECONDS, registry=self.registry,
        )
        self.in_flight = Gauge(name("requests_in_flight"), "Requests being worked on.", registry=self.registry)
        self.texts = Counter(name("texts"), "Texts embedded.", ["encoder"], registry=self.registry)
        self.tokens = Counter(name("tokens"), "Tokens embedded, special ones counted.", ["encoder"], registry=self.registry)
        self.truncated = Counter(name("truncated_texts"), "Texts that were cut.", ["encoder"], registry=self.registry)
        self.tokenize_seconds = Histogram(
            name("tokenize_seconds"), "Of one request's texts.", buckets=SECONDS, registry=self.registry
        )
        self.queue_seconds = Histogram(
            name("queue_seconds"), "Waiting of a request's slowest text.", buckets=SECONDS, registry=self.registry
        )
        self.compute_seconds = Histogram(name("compute_seconds"), "Of one batch.", buckets=SECONDS, registry=self.registry)
        self.busy_seconds = Counter(
            name("busy_seconds"), "During which at least one batch was being computed.", registry=self.registry
        )
        self.batch_tokens = Histogram(name("batch_tokens"), "Of one batch.", buckets=TOKENS, registry=self.registry)
        self.filler_tokens = Counter(
            name("filler_tokens"), "Computed beside the texts, to fill blocks.", registry=self.registry
        )
        self.queue_tokens = Gauge(name("queue_tokens"), "Tokens waiting.", ["priority"], registry=self.registry)
        self.estimated_wait = Gauge(
            name("estimated_wait_seconds"), "For an online text that arrived now.", registry=self.registry
        )
        self.cache_hits = Counter(
            name("cache_hits"), "Texts whose vectors were kept.", ["encoder"], registry=self.registry
        )
        self.cache_misses = Counter(
            name("cache_misses"), "Texts computed because the cache did not have them.", ["encoder"], registry=self.registry
        )
        self.cache_shared = Counter(
            name("cache_shared"), "Texts that were being computed for somebody else, or twice in one request.",
            ["encoder"], registry=self.registry,
        )
        self.cache_bytes = Gauge(name("cache_bytes"), "Memory that kept vectors take.", registry=self.registry)
        self.cache_entries = Gauge(name("cache_entries"), "Texts whose vectors are kept.", registry=self.registry)
        self.worker_restarts = Counter(name("worker_restarts"), "Workers that were lost.", registry=self.registry)
        self.ready = Gauge(name("ready"), "1: a worker is warm and texts are taken.", registry=self.registry)
        self.build = Info(name("build"), "Version, and the numerics class once it is known.", registry=self.registry)
        self.build.info({"version": __version__, "numerics": ""})
