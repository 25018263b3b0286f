"""What an operator does at the desk, over HTTP and by commands, and the alerts that the operator receives."""

import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from darkroom_contracts.api import Scope
from darkroom_contracts.webhooks import OperatorEvent
from tests.e2e.runbook.page import Said
from tests.support.commands import darkroom
from tests.support.edge import Edge, run_edge_of
from tests.support.receiver import Receiver, open_receiver
from tests.support.stack import Stack
from tests.support.terminals import terminal
from tests.support.waiting import eventually

LETTERS, GROUPS = "/v1/operations/dead-letters", "/v1/operations/dead-letter-groups"
REPLAYS, QUEUES, WORKERS = "/v1/operations/replays", "/v1/operations/queues", "/v1/operations/workers"
KEYS, AUDIT = "/v1/operations/keys", "/v1/operations/audit"
REASON = "as the runbook says"
COLUMNS = 160
"""Width of a terminal in which no table is cut."""


class Desk:
    """The desk of a stack, with an operator's key, through the edge."""

    def __init__(self, stack: Stack, key: str, edge: Edge, http: httpx2.AsyncClient, alerts: Receiver) -> None:
        self.stack = stack
        self.said: list[Said] = []
        """What the commands printed that were run here."""
        self._settings = {"DARKROOM_URL": edge.url, "DARKROOM_OPERATOR_KEY": key}
        self._http = http
        self._alerts = alerts

    async def run(self, *arguments: str, code: int = 0) -> str:
        """Run `darkroom` as an operator, and return what it printed. Fails for another exit code."""
        ended = await darkroom(*arguments, **self._settings)
        assert ended.exit_code == code, ended
        self.said.append(Said(shlex.join(("darkroom", *arguments)), ended.out + ended.err))
        return ended.out + ended.err

    async def confirm(self, typed: int | str, *arguments: str, code: int = 0) -> None:
        """Run `darkroom` at a terminal, type an answer to its question, and wait for its end."""
        async with terminal(*arguments, columns=COLUMNS, **self._settings) as opened:
            await opened.shows("to confirm")
            opened.type(f"{typed}\n")
            assert await opened.ends(120) == code, opened.text
            self.said.append(Said(shlex.join(("darkroom", *arguments)), opened.text))

    async def refuse(self, *arguments: str) -> None:
        """Run `darkroom` at a terminal, where it fails without a question."""
        async with terminal(*arguments, columns=COLUMNS, **self._settings) as opened:
            assert await opened.ends(60) == 1, opened.text
            self.said.append(Said(shlex.join(("darkroom", *arguments)), opened.text))

    async def get(self, path: str, **query: Any) -> Any:
        """Return what the desk shows."""
        answer = await self._http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, **body: Any) -> Any:
        """Act, and return the answer."""
        answer = await self._http.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def put(self, path: str, **body: Any) -> Any:
        """Write, and return the answer."""
        answer = await self._http.put(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def refusal(self, path: str, **body: Any) -> tuple[int, str, str]:
        """Ask for an act that is refused, and return status, code and detail of the refusal."""
        answer = await self._http.post(path, json=body)
        problem = answer.json()
        return answer.status_code, problem["code"], problem["detail"]

    async def letters(self, **filters: Any) -> list[dict[str, Any]]:
        """Return the dead letters that match, the newest first."""
        found: list[dict[str, Any]] = (await self.get(LETTERS, **filters))["dead_letters"]
        return found

    async def arrived(self, count: int, seconds: float = 60, **filters: Any) -> list[dict[str, Any]]:
        """Wait for dead letters, and return all that match."""

        async def there() -> bool:
            return len(await self.letters(**filters)) >= count

        await eventually(there, seconds=seconds, what=f"{count} dead letters of {filters}")
        return await self.letters(**filters)

    async def letter(self, **filters: Any) -> dict[str, Any]:
        """Wait for the one dead letter that matches, and return it with everything that is not hidden."""
        [found] = await self.arrived(1, **filters)
        return await self.shown(found)

    async def shown(self, letter: dict[str, Any]) -> dict[str, Any]:
        """Return a dead letter as it is now."""
        shown: dict[str, Any] = await self.get(f"{LETTERS}/{letter['id']}")
        return shown

    async def revealed(self, letter: dict[str, Any]) -> dict[str, Any]:
        """Return the hidden parts of a dead letter."""
        hidden: dict[str, Any] = await self.post(f"{LETTERS}/{letter['id']}/reveal", reason=REASON)
        return hidden

    async def becomes(self, letter: dict[str, Any], status: str, seconds: float = 60) -> None:
        """Wait until a dead letter has a status."""

        async def there() -> bool:
            return bool((await self.shown(letter))["status"] == status)

        await eventually(there, seconds=seconds, what=f"dead letter {letter['id']} is {status}")

    async def group(self, letter: dict[str, Any], opened: int | None = None) -> dict[str, Any]:
        """Return a letter's group, once it has that number of open letters."""
        path = f"{GROUPS}/{letter['group_id']}"
        if opened is not None:

            async def counted() -> bool:
                return bool((await self.get(path))["open"] == opened)

            await eventually(counted, what=f"{opened} open letters in {path}")
        found: dict[str, Any] = await self.get(path)
        return found

    async def suspecting(self, letter: dict[str, Any], kind: str) -> dict[str, Any]:
        """Return a letter's group once it has a suspect of a kind. A worker is described by its first heartbeat."""

        async def described() -> bool:
            return kind in {suspect["kind"] for suspect in (await self.group(letter))["suspects"]}

        await eventually(described, what=f"a suspect of kind {kind}")
        return await self.group(letter)

    async def alert(self, event: OperatorEvent, subject: str, *, resolved: bool = False) -> dict[str, Any]:
        """Wait for an alert, or for its end, follow its link, and return its data."""

        def found() -> list[dict[str, Any]]:
            events = (request.event for request in self._alerts.requests)
            return [
                each["data"]
                for each in events
                if (each["type"], each["data"].get("subject")) == (event, subject)
                and (each["data"]["resolved_at"] is not None) == resolved
            ]

        await eventually(lambda: bool(found()), seconds=60, what=f"{event} of {subject}")
        data = found()[0]
        await self.get(data["link"])
        return data

    async def opened(self, letter: dict[str, Any]) -> dict[str, Any]:
        """Wait for the alert of a letter's group."""
        return await self.alert(OperatorEvent.GROUP_OPENED, letter["group_id"])

    async def closed(self, letter: dict[str, Any]) -> None:
        """Wait until no letter of the group is open, and operators have received that."""
        await self.group(letter, opened=0)
        await self.alert(OperatorEvent.GROUP_OPENED, letter["group_id"], resolved=True)

    async def planned(self, **request: Any) -> dict[str, Any]:
        """Plan a bulk replay, and return the plan."""
        planned = await self.post(REPLAYS, reason=REASON, **request)
        return await self.replay_is(planned, "planned")

    async def started(self, **request: Any) -> dict[str, Any]:
        """Plan a bulk replay and start it with its count."""
        planned = await self.planned(**request)
        started: dict[str, Any] = await self.post(f"{REPLAYS}/{planned['id']}/start", count=planned["items"]["pending"])
        return started

    async def replay_is(self, replay: dict[str, Any], status: str, seconds: float = 90) -> dict[str, Any]:
        """Wait until a bulk replay has a status, and return it."""
        return await self.replay_that(replay, lambda now: bool(now["status"] == status), status, seconds)

    async def replay_that(
        self, replay: dict[str, Any], holds: Callable[[dict[str, Any]], bool], what: str, seconds: float = 90
    ) -> dict[str, Any]:
        """Wait until a condition holds for a bulk replay, and return it."""
        now: dict[str, Any] = {}

        async def there() -> bool:
            now.update(await self.get(f"{REPLAYS}/{replay['id']}"))
            return holds(now)

        try:
            await eventually(there, seconds=seconds, what=what)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {now}") from error
        return now

    async def metric(self, sample: str, value: float) -> None:
        """Wait until a sample of the metrics of operations has a value."""

        async def there() -> bool:
            return await self.stack.operations.metric(sample) == value

        await eventually(there, seconds=60, what=f"{sample} is {value}")


@asynccontextmanager
async def open_desk(stack: Stack) -> AsyncIterator[Desk]:
    """Yield the desk of a stack, whose operators receive every alert."""
    key = await stack.key("operators", Scope.OPERATOR)
    async with (
        open_receiver() as alerts,
        run_edge_of(stack) as edge,
        httpx2.AsyncClient(
            base_url=edge.url, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False
        ) as http,
    ):
        subscription = {"url": alerts.url, "audience": "operator", "events": [str(event) for event in OperatorEvent]}
        subscribed = await http.post("/v1/webhook-endpoints", json=subscription)
        assert subscribed.status_code == 201, subscribed.text
        yield Desk(stack, key, edge, http, alerts)
