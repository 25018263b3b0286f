"""What attempts work with."""

import asyncio
from dataclasses import dataclass, field

from contracts.models import Model
from gpu_consumer.gate import Gate
from gpu_consumer.parking import Parking
from gpu_consumer.pictures import Pictures
from gpu_consumer.progress import ProgressFeed
from gpu_consumer.renderer import Renderer
from gpu_consumer.settle import Settlement
from gpu_consumer.store import Store
from gpu_consumer.usage import Usage


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
    progress: ProgressFeed
    heartbeat_seconds: float
    render_seconds: float
    storing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One job at a time is stored; the next one waits for it with its render finished."""
