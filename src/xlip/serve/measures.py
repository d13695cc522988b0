"""Counters and times for Prometheus; labels name routes and states, never a client or an input."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from xlip.serve.admission import Admission

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Measures:
    """What `/metrics` tells."""

    def __init__(self, admission: Admission, most_batch: int) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter("xlip_requests", "Requests answered.", ("route", "status"), registry=self._registry)
        self._seconds = Histogram(
            "xlip_request_seconds", "From request to answer.", ("route",), registry=self._registry, buckets=SECONDS
        )
        self.predictions = Counter("xlip_predictions", "Films judged.", ("route",), registry=self._registry)
        sizes = [size for size in (1, 2, 4, 8, 16, 32, 64) if size <= most_batch]
        self.batches = Histogram("xlip_batch_films", "Films in a batch.", registry=self._registry, buckets=sizes)
        self.ready = Gauge("xlip_ready", "1 once the model answers.", registry=self._registry)
        waiting = Gauge("xlip_queue_requests", "Requests that wait or are worked on.", registry=self._registry)
        waiting.set_function(lambda: admission.waiting)
        held = Gauge("xlip_queue_bytes", "Bodies that are held.", registry=self._registry)
        held.set_function(lambda: admission.held_bytes)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one answer."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
