"""Stable error codes. Programs branch on them: one may be added, none is ever renamed."""

from enum import StrEnum
from typing import Self


class ApiError(StrEnum):
    """The `code` of a problem, which is the last segment of its `type` too."""

    status: int
    """HTTP status of the response."""
    meaning: str

    def __new__(cls, code: str, status: int, meaning: str) -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.status, member.meaning = status, meaning
        return member

    INVALID_JSON = "invalid_json", 400, "The body is not well-formed JSON."
    UNAUTHENTICATED = "unauthenticated", 401, "The request has no valid API key."
    FORBIDDEN = "forbidden", 403, "The API key's scope does not include the request."
    NOT_FOUND = "not_found", 404, "The address does not exist, or the tenant has nothing of that id."
    METHOD_NOT_ALLOWED = "method_not_allowed", 405, "The address has other methods; see the `Allow` header."
    CONFLICT = "conflict", 409, "The current state does not allow the request; `detail` says why."
    COUNT_DIFFERS = (
        "count_differs",
        409,
        "There are more or fewer than was confirmed; nothing was done, and `detail` has the number.",
    )
    JOB_NOT_FINISHED = "job_not_finished", 409, "Only a job that has ended can be retried or deleted."
    ENDPOINT_LIMIT = (
        "endpoint_limit",
        409,
        "The tenant has as many webhook endpoints as it can have. Delete one, or change one.",
    )
    IMPLICIT_ENDPOINT = (
        "implicit_endpoint",
        409,
        "The endpoint of all jobs' `webhook_url`s has no URL of its own: it can't be deleted or tested.",
    )
    ENDPOINT_INACTIVE = (
        "endpoint_inactive",
        409,
        "The webhook endpoint is disabled, or was deleted. Enable it first, if it exists.",
    )
    ROTATION_UNDER_WAY = (
        "rotation_under_way",
        409,
        "The secret before the current one is still valid. Rotate when it has ended, or with `end_previous=true`.",
    )
    DELIVERY_IN_FLIGHT = (
        "delivery_in_flight",
        409,
        "An attempt is under way; try again when it has ended.",
    )
    GONE = (
        "gone",
        410,
        "The job or the picture was deleted, by its tenant or because of its age; or the Idempotency-Key belongs to"
        " such a job.",
    )
    BODY_TOO_LARGE = "body_too_large", 413, "The body exceeds the largest size that is accepted."
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type", 415, "The body is not `application/json`."
    INVALID_REQUEST = (
        "invalid_request",
        422,
        "A field is wrong, missing, unknown or out of bounds; `field` names it.",
    )
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused", 422, "The Idempotency-Key was used with another body."
    QUEUE_FULL = "queue_full", 429, "Too many jobs of the model wait; try again after `Retry-After` seconds."
    QUOTA_EXCEEDED = "quota_exceeded", 429, "Too many jobs of the tenant wait; try again after `Retry-After` seconds."
    RATE_LIMITED = (
        "rate_limited",
        429,
        "The tenant did this too often within an hour; try again after `Retry-After` seconds.",
    )
    INTERNAL = "internal", 500, "A bug. The response's trace id finds it in the logs."
    UNAVAILABLE = (
        "unavailable",
        503,
        "A service or the database is unavailable or overloaded. `detail` says whether nothing was done or whether that"
        " is unknown. Try again after `Retry-After` seconds, with the same Idempotency-Key; repeating a cancel is"
        " always safe.",
    )


class JobErrorCode(StrEnum):
    """The `error.code` of a job and of its attempts."""

    retried: str
    """When the job is attempted again, for people."""
    meaning: str

    def __new__(cls, code: str, retried: str, meaning: str) -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.retried, member.meaning = retried, meaning
        return member

    STORAGE_UNAVAILABLE = "storage_unavailable", "yes", "S3 did not store the pictures."
    OUT_OF_MEMORY = (
        "out_of_memory",
        "once",
        "The memory did not suffice. After the second time the message names the sizes that did not fit.",
    )
    RENDER_PROCESS_LOST = (
        "render_process_lost",
        "yes",
        "The render process died, hung or lost its GPU; the message has the reason.",
    )
    POISON = "poison", "no", "The render process was lost three times while it rendered this job."
    WORKER_LOST = "worker_lost", "yes", "The worker stopped sending heartbeats."
    INPUT_NOT_RENDERABLE = "input_not_renderable", "no", "The model cannot render the input."
    PIPELINE_ERROR = "pipeline_error", "once, at a size that had succeeded before", "The pipeline raised an exception."
    NON_FINITE_OUTPUT = (
        "non_finite_output",
        "once, at a size that had succeeded before",
        "The model produced NaN or infinity.",
    )
    UNSAFE_OUTPUT = "unsafe_output", "no", "The model's safety checker objected to a picture."
    RENDER_TIMEOUT = "render_timeout", "no", "The render took longer than a worker allows."
    DELIVERY_LIMIT = "delivery_limit", "no", "The broker reached the delivery limit of the job's message."
    EXPIRED = "expired", "no", "The job did not start within `ttl_seconds`."
    DEADLINE_EXCEEDED = "deadline_exceeded", "no", "The job was not rendered within `deadline_seconds`."
    UNDECODABLE = "undecodable", "no", "The message of a dead letter cannot be decoded. No job has this code."
    ORPHAN = (
        "orphan",
        "no",
        "The job of a dead letter is not in the database, which was restored from an older backup. No job has this"
        " code.",
    )


class Stage(StrEnum):
    """The `error.stage` of a job: where it failed."""

    QUEUE = "queue"
    CLAIM = "claim"
    RENDER = "render"
    STORE = "store"
    DELIVERY = "delivery"
