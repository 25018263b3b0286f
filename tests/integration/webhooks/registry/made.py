"""Endpoints that tests make over HTTP."""

from typing import Any

import httpx2

PATH = "/v1/webhook-endpoints"
URL = "https://example.com/hook"


async def make(client: httpx2.AsyncClient, **fields: Any) -> dict[str, Any]:
    """Create an endpoint and return it with its secret."""
    response = await client.post(PATH, json={"url": URL} | fields)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def read(client: httpx2.AsyncClient, reference: str) -> dict[str, Any]:
    """Return an endpoint with its secret."""
    response = await client.get(f"{PATH}/{reference}")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def change(client: httpx2.AsyncClient, reference: str, **fields: Any) -> dict[str, Any]:
    """Change an endpoint and return it without its secret."""
    response = await client.patch(f"{PATH}/{reference}", json=fields)
    assert response.status_code == 200, response.text
    changed: dict[str, Any] = response.json()
    return changed
