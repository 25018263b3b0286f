"""The endpoints: from a request to a use case to an answer."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from chassis.auth import Caller
from chassis.http import Endpoint, reply
from chassis.problems import ProblemError
from darkroom_contracts.api import ModelList
from darkroom_contracts.errors import ApiError
from status.jobs import GoneError, Jobs, NoSuchJobError

# The view changes by the step, and its picture URLs expire.
_NEVER_STORED = {"Cache-Control": "no-store"}


def endpoints(jobs: Jobs, models: ModelList) -> Mapping[str, Endpoint]:
    async def get_job(request: Request, caller: Caller) -> Response:
        try:
            job = await jobs.find(caller.tenant_id, request.path_params["id"])
        except NoSuchJobError as error:
            raise ProblemError(ApiError.NOT_FOUND, "You have no job with this id.", headers=_NEVER_STORED) from error
        except GoneError as error:
            raise ProblemError(
                ApiError.GONE, "The job was deleted, or removed for its age.", headers=_NEVER_STORED
            ) from error
        return reply(job, headers=_NEVER_STORED)

    async def get_models(request: Request, caller: Caller) -> Response:
        return reply(models)

    return {"get_job": get_job, "list_models": get_models}
