"""Bodies of the operators' routes of queues."""

from typing import Annotated

import msgspec
from msgspec import Meta

from darkroom_contracts.api.dead_letters import Reason, Term
from darkroom_contracts.api.jobs import Timestamp

_ANY = {"default": "any"}


class QueueQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which queues to list."""

    model: Annotated[Term | None, Meta(description="Only this model's.", extra=_ANY)] = None


class Pause(msgspec.Struct, frozen=True):
    """A model whose workers finish their jobs and take no other."""

    at: Annotated[Timestamp, Meta(description="Since when.")]
    by: Annotated[str, Meta(description="Who paused it: the id of an API key, or a name.")]
    reason: Annotated[str, Meta(description="Why.")]


class BrokerQueue(msgspec.Struct, frozen=True):
    """A queue of RabbitMQ. Its counts are null while RabbitMQ does not answer."""

    name: Annotated[str, Meta(description="Its name in RabbitMQ.")]
    ready: Annotated[int | None, Meta(description="Messages that wait for a consumer.")] = None
    unacknowledged: Annotated[
        int | None,
        Meta(description="Messages that a consumer holds; null unless `DARKROOM_AMQP_MANAGEMENT_URL` is set."),
    ] = None
    dead_lettering: Annotated[
        int | None,
        Meta(
            description="Messages on their way to the dead-letter queue, which should be there in a moment; null unless"
            " `DARKROOM_AMQP_MANAGEMENT_URL` is set."
        ),
    ] = None


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs of a model, and its queue."""

    model: Annotated[str, Meta(description="Name of the model.")]
    queued: Annotated[int, Meta(description="Jobs that wait, retries included; counted up to `count_limit`.")]
    oldest_queued_at: Annotated[Timestamp | None, Meta(description="Since when the oldest of them waits.")]
    in_flight: Annotated[int, Meta(description="Jobs that run.")]
    workers: Annotated[int, Meta(description="Workers of the model with an open session.")]
    paused: Annotated[Pause | None, Meta(description="The pause; null while workers take jobs.")]
    broker: Annotated[BrokerQueue, Meta(description="The queue in RabbitMQ.")]


class Outbox(msgspec.Struct, frozen=True):
    """The messages that wait to be published."""

    messages: Annotated[int, Meta(description="How many there are; counted up to `count_limit`.")]
    overdue_seconds: Annotated[float, Meta(description="Seconds since the most overdue of them became due.")]


class QueueList(msgspec.Struct, frozen=True, kw_only=True):
    """The queues, from a sample of the last seconds."""

    queues: Annotated[tuple[Queue, ...], Meta(description="By model.")]
    lanes: Annotated[tuple[BrokerQueue, ...], Meta(description="The queues in which retries wait.")]
    dead_letter_queue: Annotated[BrokerQueue, Meta(description="The queue from which dead letters are recorded.")]
    outbox: Annotated[Outbox, Meta(description="The outbox.")]
    count_limit: Annotated[int, Meta(description="Where counts of jobs and messages stop.")]
    sampled_at: Annotated[Timestamp, Meta(description="When the counts were taken; pauses are of this moment.")]


class PauseRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pause of a model."""

    reason: Reason


class PauseReply(msgspec.Struct, frozen=True, kw_only=True):
    """A paused model, and the jobs that a long pause would cost."""

    model: Annotated[str, Meta(description="Name of the model.")]
    paused: Annotated[Pause, Meta(description="The pause.")]
    expiring_within_hour: Annotated[
        int,
        Meta(
            description="Jobs that wait now and would expire if the pause lasts an hour; counted up to `count_limit`."
        ),
    ]
    expiring_within_day: Annotated[int, Meta(description="The same for a day.")]
    count_limit: Annotated[int, Meta(description="How many waiting jobs were looked at, the oldest first.")]


class ResumeReply(msgspec.Struct, frozen=True):
    """A model whose workers take jobs."""

    model: Annotated[str, Meta(description="Name of the model.")]
    resumed: Annotated[bool, Meta(description="Whether it was paused.")]
