"""What attempts work with."""

import asyncio
from dataclasses import dataclass, field

from darkroom_contracts.models import Model
from gpu_consumer.gate import Gate
from gpu_consumer.job.loss_streak import LossStreak
from gpu_consumer.job.parking import Parking
from gpu_consumer.job.progress import ProgressFeed
from gpu_consumer.job.settle import Settlement
from gpu_consumer.job.store import Store
from gpu_consumer.pictures.pictures import Pictures
from gpu_consumer.renderer.renderer import Renderer
from gpu_consumer.usage import Usage
from gpu_consumer.worker.session import EmptyAnswers


@dataclass(frozen=True)
class Bench:
    """All attempts of a worker share it."""

    model: Model
    gate: Gate
    usage: Usage
    store: Store
    renderer: Renderer
    pictures: Pictures
    settlement: Settlement
    parking: Parking
    empty_answers: EmptyAnswers
    progress: ProgressFeed
    losses: LossStreak
    heartbeat_seconds: float
    render_seconds: float
    head_start_seconds: float
    """How long at most a job that is rendered lets the next one begin before it is stored: both want the processor and
    the broker, and the GPU waits for one of them only."""
    storing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One job at a time is stored; the next one waits for it with its render finished."""
