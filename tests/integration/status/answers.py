"""Answers that several tests expect."""

import httpx2


def assert_unavailable(answer: httpx2.Response) -> None:
    """Fail unless it is a 503 that says when to come back."""
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "unavailable"
