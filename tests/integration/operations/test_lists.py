"""What all lists of the service have in common."""

import httpx2

from darkroom_contracts.routes import ROUTES, Service

LISTS = [
    route.path
    for route in ROUTES
    if route.service is Service.OPERATIONS and route.query and "cursor" in route.query.__struct_fields__
]


async def test_a_cursor_of_no_list_is_refused_in_one_wording(operator: httpx2.AsyncClient) -> None:
    """By each list, in words that name the parameter and what to do."""
    assert "/v1/operations/audit" in LISTS
    for path in LISTS:
        problem = (await operator.get(path, params={"cursor": "a b"})).json()
        assert (problem["code"], problem["field"]) == ("invalid_request", "cursor"), path
        assert problem["detail"] == "cursor is not one that this list returned; send `next_cursor` unchanged.", path
