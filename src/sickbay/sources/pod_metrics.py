"""What a service says of itself in Prometheus' text format: ``http://pod:port/metrics``, read once, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sickbay.errors import SourceError, SourceForbidden, SourceGarbled, SourceTimeout
from sickbay.sources.replies import Http, Reply


@dataclass(frozen=True, slots=True)
class Scrape:
    """Samples by name, at an instant; a name has a value per set of labels."""

    at: datetime
    samples: Mapping[str, Mapping[tuple[tuple[str, str], ...], float]]

    def total(self, *names: str) -> float | None:
        """Return the sum over all label sets of the first of these names that there is; None if none is."""
        for name in names:
            if name in self.samples:
                return sum(self.samples[name].values())
        return None


def scrape(client: Http, path: str, *, seconds: float = 2.0) -> Scrape:
    """Return the samples of one reading; SourceError in the way in which they did not come."""
    reply = client.ask(path, seconds=seconds)
    if reply.state == "timed out":
        raise SourceTimeout(f"no metrics within {seconds:g} s")
    if reply.state != "answered":
        raise SourceError(f"unreachable: the metrics of {client.url}: {reply.state}")
    if reply.status in (401, 403):
        raise SourceForbidden(f"the metrics of {client.url} want a login ({reply.status})")
    if not reply.ok:
        raise SourceError(f"unreachable: the metrics of {client.url} answer {reply.status}")
    return read(reply)


def read(reply: Reply) -> Scrape:
    """Return the samples of an answer; SourceGarbled when it is not in Prometheus' text format."""
    from prometheus_client.parser import text_string_to_metric_families

    samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    try:
        for family in text_string_to_metric_families(reply.text):
            for sample in family.samples:
                samples.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = float(sample.value)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise SourceGarbled(f"{reply.what} is not in Prometheus' text format: {str(error)[:120]}") from None
    if not samples:
        raise SourceGarbled(f"{reply.what} holds no sample")
    return Scrape(datetime.now(UTC), samples)
