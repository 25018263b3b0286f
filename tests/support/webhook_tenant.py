"""A tenant that uses `darkroom webhooks` through an edge."""

from typing import Any

from tests.support.commands import Finished, darkroom
from tests.support.edge import Edge
from tests.support.receiver import Receiver
from tests.support.stack import IDLE_MODEL
from tests.support.waiting import eventually


class Tenant:
    """A tenant with its key, its commands and its receiver."""

    def __init__(self, edge: Edge, key: str, receiver: Receiver) -> None:
        self.environment = {"DARKROOM_URL": edge.url, "DARKROOM_API_KEY": key}
        self.receiver = receiver

    async def run(self, *arguments: str, **environment: str) -> Finished:
        """Run `darkroom`, whatever its outcome."""
        return await darkroom(*arguments, **self.environment, **environment)

    async def out(self, *arguments: str, **environment: str) -> str:
        """Run `darkroom webhooks` and return its output. Fails when the command does."""
        finished = await self.run("webhooks", *arguments, **environment)
        assert finished.exit_code == 0, finished.err
        return finished.out

    async def json(self, *arguments: str, **environment: str) -> Any:
        """As `out`, decoded."""
        return (await self.run("webhooks", *arguments, "--json", **environment)).json

    async def endpoint(self, *options: str, path: str = "/", **environment: str) -> dict[str, Any]:
        """Create an endpoint at the receiver."""
        created: dict[str, Any] = await self.json(
            "endpoints", "create", self.receiver.url + path, *options, **environment
        )
        return created

    async def canceled_job(self, *options: str) -> str:
        """Submit a job and cancel it, and return its id."""
        submitted = await self.run("submit", "a red circle", "--model", IDLE_MODEL, "--json", *options)
        job_id = str(submitted.json["id"])
        assert (await self.run("cancel", job_id)).exit_code == 0
        return job_id

    async def ended(self, delivery_id: object) -> dict[str, Any]:
        """Wait until a delivery is not pending, and return it."""
        found: dict[str, Any] = {}

        async def over() -> bool:
            found.update(await self.json("deliveries", "show", str(delivery_id)))
            return bool(found["status"] != "pending")

        await eventually(over, what=f"the delivery {delivery_id} ends", seconds=30)
        return found
