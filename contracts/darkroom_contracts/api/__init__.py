"""Request and response bodies of the HTTP API.

Descriptions of fields stand in `Meta`, from where the API's documents take them. `__init__` of a Struct does not
validate: bounds hold for what was decoded, and the model catalogue has narrower ones.
"""

from darkroom_contracts.api.common import Liveness, Problem, Readiness, Scope, encode
from darkroom_contracts.api.inputs import (
    DEFAULT_TTL_SECONDS,
    MAX_BODY_BYTES,
    MAX_SEED,
    JobInput,
    JobInputRequest,
    JobRequest,
    LifetimeSeconds,
    NegativePrompt,
    OutputFormat,
    Prompt,
)
from darkroom_contracts.api.jobs import (
    CancelReply,
    EventJob,
    Job,
    JobError,
    JobMetrics,
    JobProgress,
    JobUrls,
    JobView,
    KeptOutput,
    Output,
    Timestamp,
)
from darkroom_contracts.api.models import AllowedSize, ModelList, ModelView, NumberRange, WholeNumberRange
from darkroom_contracts.api.receipts import Execution, PictureReceipt, Receipt

__all__ = [
    "DEFAULT_TTL_SECONDS",
    "MAX_BODY_BYTES",
    "MAX_SEED",
    "AllowedSize",
    "CancelReply",
    "EventJob",
    "Execution",
    "Job",
    "JobError",
    "JobInput",
    "JobInputRequest",
    "JobMetrics",
    "JobProgress",
    "JobRequest",
    "JobUrls",
    "JobView",
    "KeptOutput",
    "LifetimeSeconds",
    "Liveness",
    "ModelList",
    "ModelView",
    "NegativePrompt",
    "NumberRange",
    "Output",
    "OutputFormat",
    "PictureReceipt",
    "Problem",
    "Prompt",
    "Readiness",
    "Receipt",
    "Scope",
    "Timestamp",
    "WholeNumberRange",
    "encode",
]
