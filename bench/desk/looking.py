"""The latency of looks: lists, searches and groups over HTTP, one at a time."""

import time
from collections.abc import Mapping

import httpx2

from bench.measures import Latency
from bench.stack import Target

LETTERS = "/v1/operations/dead-letters"
LISTS: Mapping[str, Mapping[str, str]] = {
    "list": {},
    "list, any status": {"status": "any", "limit": "200"},
    "list of a kind": {"kind": "orphan"},
    "list of a tenant": {"tenant": "tenant-7"},
    "list of a worker": {"worker": "gpu-7"},
    "list of a model": {"model": "model-1"},
    "list of a time": {"created_before": "2026-11-01T00:00:00Z"},
}
SEARCHES: Mapping[str, Mapping[str, str]] = {
    "search, a common text": {"text": "layer a of block"},
    "search, a rare text": {"text": "layer i of block r"},
    "search, a number": {"text": "failed after 77777 bytes"},
    "search, a pattern": {"text": "after # bytes"},
    "search, nothing found": {"text": "no such text"},
    "search in a tenant and model": {"text": "block b", "tenant": "tenant-3", "model": "model-2"},
    "search, discarded": {"text": "layer b", "status": "discarded"},
}
GROUPS: Mapping[str, str] = {
    name: f"/v1/operations/dead-letter-groups{query}"
    for name, query in {
        "groups": "",
        "groups with open letters": "?status=open&limit=100",
        "groups of a model": "?model=model-1",
        "groups, nothing found": "?text=nowhere",
    }.items()
}


class Looks:
    """A client of the desk."""

    def __init__(self, target: Target) -> None:
        key = target.settings["DARKROOM_OPERATOR_KEY"]
        self._client = httpx2.Client(
            base_url=target.origin("operations"), headers={"Authorization": f"Bearer {key}"}, timeout=30
        )

    def letters(self, query: Mapping[str, str], count: int) -> Latency:
        """Measure pages of a query: the first, and those that follow it, as long as there are any."""
        samples, cursor = [], None
        for _ in range(count):
            began = time.perf_counter()
            page = self._get(LETTERS, {**query, "cursor": cursor} if cursor else query)
            samples.append((time.perf_counter() - began) * 1000)
            cursor = page["next_cursor"]
        return Latency.of(samples)

    def one(self, path: str, count: int) -> Latency:
        """Measure a page of its own."""
        samples = []
        for _ in range(count):
            began = time.perf_counter()
            self._get(path, {})
            samples.append((time.perf_counter() - began) * 1000)
        return Latency.of(samples)

    def _get(self, path: str, query: Mapping[str, str]) -> Mapping[str, str | None]:
        answer = self._client.get(path, params=dict(query))
        answer.raise_for_status()
        found: Mapping[str, str | None] = answer.json()
        return found
