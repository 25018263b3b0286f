"""Stable error codes. Programs branch on them; messages may change, codes never do."""

from enum import StrEnum


class ApiError(StrEnum):
    """`code` of a problem+json body. The value of each is also the tail of its `type` URI."""

    INVALID_JSON = "invalid_json"
    INVALID_REQUEST = "invalid_request"
    """A field is wrong, missing, unknown or out of bounds; `field` names it."""
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    BODY_TOO_LARGE = "body_too_large"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    JOB_NOT_FINISHED = "job_not_finished"
    """What was asked for needs a job that ended."""
    METHOD_NOT_ALLOWED = "method_not_allowed"
    GONE = "gone"
    """It was deleted, or removed for its age."""
    QUEUE_FULL = "queue_full"
    QUOTA_EXCEEDED = "quota_exceeded"
    UNAVAILABLE = "unavailable"
    """A part that the service needs is away; try again after Retry-After."""
    INTERNAL = "internal"


class JobErrorCode(StrEnum):
    """`error.code` of a job and of its attempts."""

    # transient: tried again while attempts are left
    STORAGE_UNAVAILABLE = "storage_unavailable"
    OUT_OF_MEMORY = "out_of_memory"
    RENDER_PROCESS_LOST = "render_process_lost"
    WORKER_LOST = "worker_lost"
    # permanent: dead at once
    INPUT_NOT_RENDERABLE = "input_not_renderable"
    PIPELINE_ERROR = "pipeline_error"
    NON_FINITE_OUTPUT = "non_finite_output"
    RENDER_TIMEOUT = "render_timeout"
    POISON = "poison"
    """The render process died of this job again and again."""
    UNSAFE_OUTPUT = "unsafe_output"
    """The model's safety checker objected to a picture."""
    DELIVERY_LIMIT = "delivery_limit"
    # the time ran out while the job waited
    EXPIRED = "expired"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    """The time for waiting and rendering together ran out."""
    # the message itself
    UNDECODABLE = "undecodable"
    ORPHAN = "orphan"
    """Its job is not in the database, which was restored from an older backup."""
