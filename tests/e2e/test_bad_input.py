"""What the API refuses leaves no trace anywhere."""

import json
from typing import Any

import pytest

from tests.support.http_client import Client, request
from tests.support.stack import MODEL, Stack

JSON = {"content-type": "application/json"}
TABLES = ("jobs", "outbox", "idempotency_keys", "webhook_deliveries")


def body(**changes: Any) -> bytes:
    """Return a valid request's body with changes to its input."""
    return json.dumps(request(MODEL, **changes)).encode()


BAD = {
    "too wide": (body(width=4096), 422, "input.width"),
    "no multiple": (body(width=100), 422, "input.width"),
    "unknown field": (body(colour="red"), 422, "input.colour"),
    "wrong type": (body(steps="many"), 422, "input.num_inference_steps"),
    "a float": (body(height=64.5), 422, "input.height"),
    "too expensive": (body(steps=400, width=128, height=128, num_images=4), 422, "input.num_inference_steps"),
    "no prompt": (b'{"input": {}}', 422, "input.prompt"),
    "NUL": (body(prompt="a\0b"), 422, "input.prompt"),
    "lone surrogate": (b'{"input": {"prompt": "\\ud800"}}', 422, "input.prompt"),
    "unknown model": (b'{"model": "none", "input": {"prompt": "x"}}', 422, "model"),
    "broken JSON": (b'{"input": ', 400, None),
    "deep nesting": (b"[" * 20_000, 400, None),
    "too large": (b" " * 70_000 + body(), 413, None),
}


@pytest.mark.parametrize("case", BAD)
async def test_bad_input_is_refused_without_a_trace(stack: Stack, client: Client, case: str) -> None:
    """Every refusal is a problem document that names the field, and not one row is written."""
    content, status, field = BAD[case]
    before = [await stack.ledger.count(table) for table in TABLES]
    answer = await client.post("/v1/jobs", content=content, headers=JSON)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json().get("field") == field
    assert [await stack.ledger.count(table) for table in TABLES] == before


async def test_another_content_type_is_refused(stack: Stack, client: Client) -> None:
    """Only JSON is read."""
    before = [await stack.ledger.count(table) for table in TABLES]
    answer = await client.post("/v1/jobs", content=body(), headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    assert [await stack.ledger.count(table) for table in TABLES] == before
