"""Opening and resolving alerts."""

import asyncio

import pytest

from chassis.postgres import Database
from operations.alerts.alerts import Alerts
from operations.alerts.records import GROUP_OPENED, QUEUE_STALLED
from tests.integration.operations.alerts.desk import subscribe, told
from tests.integration.operations.jobs import Jobs

ORIGIN = "https://darkroom.example.com"


@pytest.fixture
def alerts() -> Alerts:
    return Alerts(ORIGIN)


async def test_an_alert_is_told_once_when_it_opens_and_once_when_it_is_over(
    pool: Database, jobs: Jobs, alerts: Alerts
) -> None:
    """Both events have the same type, subject, link and data; the second one has the end."""
    await subscribe(jobs)
    for changed in (True, False):
        async with pool.transaction() as connection:
            assert await alerts.open(connection, QUEUE_STALLED, "tiny", {"workers": 0}) == changed
    for changed in (True, False):
        async with pool.transaction() as connection:
            assert await alerts.resolve(connection, QUEUE_STALLED, "tiny") == changed
    (opened_event, opened), (resolved_event, resolved) = await told(jobs)
    assert opened_event == resolved_event == "queue.stalled"
    assert opened | {"resolved_at": resolved["resolved_at"], "opened_at": resolved["opened_at"]} == resolved
    assert (opened["subject"], opened["workers"], opened["resolved_at"]) == ("tiny", 0, None)
    assert opened["link"] == f"{ORIGIN}/v1/operations/queues?model=tiny"
    assert resolved["opened_at"] < resolved["resolved_at"]


async def test_an_alert_opens_again_after_its_end(pool: Database, jobs: Jobs, alerts: Alerts) -> None:
    """A subject has one open alert of a kind, and any number that are resolved."""
    await subscribe(jobs)
    for _ in range(2):
        async with pool.transaction() as connection:
            assert await alerts.open(connection, GROUP_OPENED, "a group", {})
            assert await alerts.resolve(connection, GROUP_OPENED, "a group")
    assert len(await told(jobs)) == 4


async def test_processes_that_find_it_at_once_tell_it_once(pool: Database, jobs: Jobs, alerts: Alerts) -> None:
    """Of concurrent transactions one opens the alert."""
    await subscribe(jobs)

    async def find() -> bool:
        async with pool.transaction() as connection:
            return await alerts.open(connection, QUEUE_STALLED, "tiny", {})

    assert sorted(await asyncio.gather(*(find() for _ in range(20)))) == [False] * 19 + [True]
    assert len(await told(jobs)) == 1


async def test_an_alert_whose_transaction_fails_is_not_told(pool: Database, jobs: Jobs, alerts: Alerts) -> None:
    """The alert and its events are committed together or not at all."""
    await subscribe(jobs)

    async def open_and_fail() -> None:
        async with pool.transaction() as connection:
            assert await alerts.open(connection, QUEUE_STALLED, "tiny", {})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await open_and_fail()
    assert await told(jobs) == []
    assert await jobs.value("SELECT count(*) FROM alerts") == 0


async def test_a_name_cannot_change_its_link(pool: Database, jobs: Jobs, alerts: Alerts) -> None:
    """Whatever a subject contains is quoted in the link."""
    await subscribe(jobs)
    async with pool.transaction() as connection:
        await alerts.open(connection, GROUP_OPENED, "../keys?a=b", {})
    assert (await told(jobs))[0][1]["link"] == f"{ORIGIN}/v1/operations/dead-letter-groups/..%2Fkeys%3Fa%3Db"
