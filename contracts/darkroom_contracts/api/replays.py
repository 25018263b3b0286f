"""Replays of dead letters as operators ask for them and see them: of one letter, and of many in bulk."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from darkroom_contracts.api.dead_letters import LetterScope, Reason
from darkroom_contracts.api.inputs import MAX_SEED
from darkroom_contracts.api.jobs import Timestamp

MAX_REPLAYS = 200
"""Most replays, or items of one, in a page."""
MAX_PACE = 100.0
"""Most letters that a replay with a pace replays in a second."""
DEFAULT_STAGES = (1, 2, 5, 10, 20, 50, 100)
WILL_REPLAY = "will replay"
"""The verdict on a dead letter that can be replayed. Every other verdict says why not."""
_UNCHANGED = {"default": "unchanged"}


class ReplayStatus(StrEnum):
    """The state of a bulk replay."""

    PLANNING = "planning"
    """Its dead letters are being frozen."""
    PLANNED = "planned"
    """It waits to be started with its count."""
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    """Each of its jobs and deliveries has ended."""
    CANCELED = "canceled"
    """It replays no more. What it has replayed goes on."""


class ItemState(StrEnum):
    """The state of a dead letter in a bulk replay."""

    PENDING = "pending"
    REPLAYED = "replayed"
    """Its job or delivery has not ended yet."""
    REFUSED = "refused"
    """It was not replayed, and is as it was."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Its job or delivery ended otherwise; a job that failed for good has a new dead letter."""


class InputEdit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Changes of a job's input, within the bounds of the model that renders it. Prompts can't be changed."""

    num_inference_steps: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None, Meta(description="Denoising steps.", extra=_UNCHANGED)
    ] = None
    guidance_scale: Annotated[
        Annotated[float, Meta(ge=0, le=100)] | None,
        Meta(description="How closely the picture follows the prompt.", extra=_UNCHANGED),
    ] = None
    scheduler: Annotated[
        Annotated[str, Meta(max_length=32)] | None,
        Meta(description="One of the model's schedulers.", extra=_UNCHANGED),
    ] = None
    width: Annotated[Annotated[int, Meta(ge=8, le=8192)] | None, Meta(description="Pixels.", extra=_UNCHANGED)] = None
    height: Annotated[Annotated[int, Meta(ge=8, le=8192)] | None, Meta(description="Pixels.", extra=_UNCHANGED)] = None
    seed: Annotated[
        Annotated[int, Meta(ge=0, le=MAX_SEED)] | None, Meta(description="Seed of the first picture.", extra=_UNCHANGED)
    ] = None
    num_images: Annotated[
        Annotated[int, Meta(ge=1, le=16)] | None, Meta(description="Number of pictures.", extra=_UNCHANGED)
    ] = None


class ReplayEdit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Changes of a job for its replay. What was submitted is kept; the job shows the changes as `edits`."""

    model: Annotated[
        Annotated[str, Meta(min_length=1, max_length=64)] | None,
        Meta(description="The model to render with.", extra=_UNCHANGED),
    ] = None
    input: Annotated[InputEdit | None, Meta(description="Changes of the input.", extra=_UNCHANGED)] = None


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a dead letter is replayed."""

    edit: Annotated[ReplayEdit | None, Meta(description="Changes of the job.", extra={"default": "none"})] = None
    reason: Annotated[Reason | None, Meta(extra={"default": "none"})] = None


class ReplayReply(msgspec.Struct, frozen=True, kw_only=True):
    """A replayed dead letter: its job is queued again, or its webhook is due again."""

    dead_letter_id: Annotated[UUID, Meta(description="The dead letter.")]
    job_id: Annotated[UUID | None, Meta(description="The job; null for a webhook.")] = None
    generation: Annotated[int | None, Meta(description="The job's new generation; null for a webhook.")] = None
    delivery_id: Annotated[UUID | None, Meta(description="The webhook delivery; null for a job.")] = None
    endpoint_paused: Annotated[bool, Meta(description="Whether the delivery waits until its endpoint is resumed.")] = (
        False
    )


class Ramp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stages of growing size. The next one begins when each job of the one before has succeeded."""

    stages: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=10_000)], ...],
        Meta(min_length=1, max_length=50, description="Sizes of the stages; the last one is repeated."),
    ] = DEFAULT_STAGES
    stage_seconds: Annotated[
        int,
        Meta(ge=1, le=7 * 24 * 3600, description="A stage that takes longer pauses the replay."),
    ] = 900


class BulkReplayRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bulk replay to plan."""

    scope: LetterScope
    edit: Annotated[ReplayEdit | None, Meta(description="Changes of each job.", extra={"default": "none"})] = None
    pace: Annotated[
        Annotated[float, Meta(gt=0, le=MAX_PACE)] | None,
        Meta(description="Dead letters a second.", extra={"default": "as fast as possible"}),
    ] = None
    ramp: Annotated[Ramp | None, Meta(description="Instead of a pace.", extra={"default": "none"})] = None
    reason: Annotated[Reason | None, Meta(extra={"default": "none"})] = None


class ReplayStartRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The number of dead letters that the operator expects to replay."""

    count: Annotated[int, Meta(ge=0, le=2**31 - 1, description="The replay's `items.pending`.")]


class ReplayActRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a replay is paused, resumed or canceled."""

    reason: Annotated[Reason | None, Meta(extra={"default": "none"})] = None


class ItemCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters of a bulk replay by state."""

    pending: Annotated[int, Meta(description="To be replayed.")]
    replayed: Annotated[int, Meta(description="Replayed, and not ended yet.")]
    refused: Annotated[int, Meta(description="Not replayed.")]
    succeeded: Annotated[int, Meta(description="Replayed, and ended well.")]
    failed: Annotated[int, Meta(description="Replayed, and ended otherwise.")]


class BulkReplay(msgspec.Struct, frozen=True, kw_only=True):
    """A bulk replay."""

    id: Annotated[UUID, Meta(description="Its id, a UUIDv7.")]
    status: Annotated[ReplayStatus, Meta(description="Its status.")]
    scope: Annotated[LetterScope, Meta(description="Which dead letters it is for.")]
    edit: Annotated[ReplayEdit | None, Meta(description="Changes of each job.")] = None
    pace: Annotated[float | None, Meta(description="Dead letters a second.")] = None
    ramp: Annotated[Ramp | None, Meta(description="Its stages.")] = None
    stage: Annotated[int | None, Meta(description="The current stage of the ramp, counted from 1.")] = None
    stage_began_at: Annotated[Timestamp | None, Meta(description="When that began.")] = None
    items: Annotated[ItemCounts, Meta(description="Its dead letters by state.")]
    verdicts: Annotated[
        dict[str, int], Meta(description="What planning found: dead letters by `will replay` or why not.")
    ]
    created_by: Annotated[str, Meta(description="Who planned it: the id of an API key.")]
    reason: Annotated[str | None, Meta(description="Why.")] = None
    created_at: Annotated[Timestamp, Meta(description="When it was planned.")]
    started_at: Annotated[Timestamp | None, Meta(description="When it was started.")] = None
    finished_at: Annotated[Timestamp | None, Meta(description="When it finished or was canceled.")] = None
    paused_reason: Annotated[str | None, Meta(description="Why it is paused.")] = None


class BulkReplayQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of a list of bulk replays."""

    status: Annotated[ReplayStatus | None, Meta(description="Only with this status.", extra={"default": "any"})] = None
    limit: Annotated[int, Meta(ge=1, le=MAX_REPLAYS, description="Most replays of the page.")] = 50
    cursor: Annotated[
        Annotated[str, Meta(max_length=100)] | None,
        Meta(description="`next_cursor` of the page before this one.", extra={"default": "the newest"}),
    ] = None


class BulkReplayList(msgspec.Struct, frozen=True):
    """A page of bulk replays."""

    replays: Annotated[list[BulkReplay], Meta(description="The newest first.")]
    next_cursor: Annotated[
        str | None, Meta(description="`cursor` of the next page; null on the last one. Its content has no meaning.")
    ] = None


class ReplayItem(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter of a bulk replay."""

    position: Annotated[int, Meta(description="Counted from 1; they are replayed in this order.")]
    letter_id: Annotated[UUID, Meta(description="The dead letter.")]
    verdict: Annotated[str, Meta(description="What planning found: `will replay`, or why not.")]
    state: Annotated[ItemState, Meta(description="Its state.")]
    job_id: Annotated[UUID | None, Meta(description="Its job, if it has one.")] = None
    generation: Annotated[int | None, Meta(description="The generation that the replay made.")] = None
    error: Annotated[str | None, Meta(description="Why it was refused, or how it failed.")] = None
    at: Annotated[Timestamp | None, Meta(description="When its state last changed.")] = None


class ReplayItemQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The query of a list of a bulk replay's dead letters."""

    state: Annotated[ItemState | None, Meta(description="Only in this state.", extra={"default": "any"})] = None
    limit: Annotated[int, Meta(ge=1, le=MAX_REPLAYS, description="Most dead letters of the page.")] = 50
    after: Annotated[int, Meta(ge=0, le=2**31 - 1, description="`next_after` of the page before this one.")] = 0


class ReplayItemList(msgspec.Struct, frozen=True):
    """A page of a bulk replay's dead letters."""

    items: Annotated[list[ReplayItem], Meta(description="By position.")]
    next_after: Annotated[int | None, Meta(description="`after` of the next page; null on the last one.")] = None
