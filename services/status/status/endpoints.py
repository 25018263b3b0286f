"""The endpoints of the status service."""

from starlette.requests import Request
from starlette.responses import Response

from chassis.auth import Caller
from chassis.http import Endpoint, reply
from darkroom_contracts.api import ModelList
from status.jobs import Jobs


class Endpoints:
    """Answers the routes of the status service."""

    def __init__(self, jobs: Jobs, models: ModelList) -> None:
        self._jobs = jobs
        self._models = models

    def by_name(self) -> dict[str, Endpoint]:
        """Return the endpoints by the names of their routes."""
        return {"get_job": self.get_job, "get_output": self.get_output, "list_models": self.list_models}

    async def get_job(self, request: Request, caller: Caller) -> Response:
        """Return a job. It is never cached: the view changes with each step, and its URLs expire."""
        job = await self._jobs.find(caller.tenant_id, request.path_params["id"])
        return reply(job, headers={"Cache-Control": "no-store"})

    async def get_output(self, request: Request, caller: Caller) -> Response:
        """Redirect to a picture. The location is a credential until it expires: nothing caches it or sends it on.

        It is a path, so that it leads to the edge under the name that the client used.
        """
        job_id, index = request.path_params["id"], request.path_params["index"]
        location = await self._jobs.picture(caller.tenant_id, job_id, index)
        headers = {"Location": location, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
        return Response(status_code=302, headers=headers)

    async def list_models(self, request: Request, caller: Caller) -> Response:
        """Return the models of the catalogue."""
        return reply(self._models)
