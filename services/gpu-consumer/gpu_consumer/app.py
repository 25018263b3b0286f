"""The worker's parts and how they depend on each other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import structlog

from chassis.broker import Broker
from chassis.health import Health
from chassis.http import build_health_app
from chassis.postgres import Database
from chassis.publishing import Announcer, Publisher
from chassis.service import App
from chassis.storage import Storage
from darkroom_contracts.models import Model
from darkroom_contracts.topology import Lanes, topology, work_queue
from gpu_consumer import metrics
from gpu_consumer.gate import DATABASE, NAME, OWN_DATABASE, RENDERER, RESUMED, Gate
from gpu_consumer.job.attempt import Pipeline
from gpu_consumer.job.claiming import Claiming
from gpu_consumer.job.disposing import Disposing
from gpu_consumer.job.loss_streak import LossStreak
from gpu_consumer.job.parking import Parking
from gpu_consumer.job.progress import ProgressFeed
from gpu_consumer.job.rendering import Rendering
from gpu_consumer.job.settling import Settling
from gpu_consumer.job.store import JobStore
from gpu_consumer.job.storing import Storing
from gpu_consumer.pictures.pictures import Pictures
from gpu_consumer.protocol import Load, Size
from gpu_consumer.renderer.process import Limits, RenderProcess
from gpu_consumer.renderer.renderer import Renderer
from gpu_consumer.settings import Settings
from gpu_consumer.usage import Usage
from gpu_consumer.worker.consumer import Consumer
from gpu_consumer.worker.gpu_monitor import Gpu, GpuMonitor
from gpu_consumer.worker.presence import Presence
from gpu_consumer.worker.session import EmptyAnswers, Session
from gpu_consumer.worker.slot import Slot
from gpu_consumer.worker.store import SessionStore
from gpu_consumer.worker.worker import Worker

HEAD_START_SECONDS = 0.05
"""Ten times what the next job needs to begin, when nothing is wrong."""


@asynccontextmanager
async def open_app(settings: Settings) -> AsyncIterator[App]:
    """Open the worker. On exit its connections are closed."""
    model = settings.find_model()
    structlog.contextvars.bind_contextvars(worker=settings.name, model=model.name)
    connections = Connections.of(settings)
    parts = build(settings, model, render_process(settings, model), connections)
    async with connections.opened():
        yield App(build_health_app(parts.health), parts.health, [parts.worker])


@dataclass(frozen=True)
class Connections:
    """The worker's connections. None is open yet."""

    database: Database
    consuming: Broker
    publishing: Broker
    storage: Storage

    @classmethod
    def of(cls, settings: Settings) -> "Connections":
        """Return the connections that the settings describe."""
        return cls(
            database=Database(settings.database, "gpu-consumer"),
            consuming=Broker(settings.broker.amqp_url, f"{settings.name} consuming"),
            publishing=Broker(settings.broker.amqp_url, f"{settings.name} publishing"),
            storage=Storage(settings.storage),
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open the database's pool; the others open when first needed. On exit all are closed."""
        try:
            async with self.database:
                yield
        finally:
            await asyncio.gather(self.consuming.close(), self.publishing.close())


@dataclass(frozen=True)
class Parts:
    """The parts of a worker, so that tests can run and watch single ones."""

    worker: Worker
    health: Health
    consumer: Consumer
    renderer: Renderer
    gate: Gate
    jobs: JobStore
    sessions: SessionStore
    feed: ProgressFeed
    empty_answers: EmptyAnswers


def build(settings: Settings, model: Model, process: RenderProcess, connections: Connections) -> Parts:
    """Return a worker for one model of the catalogue, rendering by `process`. Connects to nothing."""
    lanes = Lanes.of(settings.broker.retry_delays)
    declared = topology([model.name], lanes)
    database, publishing = connections.database, connections.publishing
    session_id = uuid4()
    jobs = JobStore(database, settings.name, session_id, settings.lease_seconds)
    sessions = SessionStore(database, settings.name, session_id)
    gate = Gate(NAME, RENDERER, RESUMED, DATABASE, OWN_DATABASE)
    gate.allow(OWN_DATABASE)  # until a message proves the contrary
    usage = _measured_usage()
    renderer = Renderer(process, gate, usage)
    feed = ProgressFeed(Announcer(publishing))
    parking = Parking(Publisher(publishing), publishing, declared, lanes)
    losses = LossStreak()
    pipeline = Pipeline(
        Claiming(jobs, gate, settings.heartbeat_seconds),
        Rendering(model, renderer, gate, feed, settings.render_seconds),
        Storing(Pictures(connections.storage), usage, HEAD_START_SECONDS if settings.overlap else 0),
        Settling(jobs, lanes),
        Disposing(parking, jobs, gate),
        losses,
    )
    empty_answers = EmptyAnswers()
    slot = partial(Slot, connections.consuming, work_queue(model.name), usage, empty_answers)
    slots = [slot() for _ in range(2 if settings.overlap else 1)]
    declare = partial(connections.consuming.declare, declared)
    consumer = Consumer(pipeline, slots, gate, usage, declare, parking.bury)
    presence = Presence(settings.database, settings.name, gate, consumer.hurry, settings.heartbeat_seconds)
    gpu = Gpu.find() if settings.device == "cuda" else None
    session = Session(
        sessions,
        gate,
        empty_answers,
        lambda: renderer.ready,
        model=model.name,
        gpu_id=gpu.uuid if gpu else None,
        beat_seconds=settings.heartbeat_seconds,
    )
    monitoring = partial(GpuMonitor(usage, gpu).run, asyncio.Event())
    standing = (presence.run, session.run, renderer.run, feed.run, monitoring, losses.watch)
    worker = Worker(gate, presence, session, sessions, renderer, consumer, losses, standing, settings.drain_seconds)
    health = Health(
        {
            "model": renderer.check,
            "database": database.check,
            "broker": connections.consuming.check,
            "instance": partial(gate.check, OWN_DATABASE),
        }
    )
    return Parts(worker, health, consumer, renderer, gate, jobs, sessions, feed, empty_answers)


def render_process(settings: Settings, model: Model) -> RenderProcess:
    """Return the render process that the settings describe, not started yet."""
    load = Load(
        folder=str((Path(settings.catalogue.models_home) / model.path).absolute()),
        device=settings.device,
        pipeline=model.pipeline,
        manifest_sha256=model.manifest_sha256,
        dtype=model.dtype_on(settings.device),
        safety_checker=model.safety_checker,
        scheduler=model.schedulers[0],
        guidance_scale=model.guidance_scale.default,
        sizes=tuple(Size(width, height) for width, height in model.warmup_sizes),
        channels_last=settings.channels_last,
        compile=settings.compile,
        cuda_graphs=settings.cuda_graphs,
        cpu_threads=settings.cpu_threads,
    )
    limits = Limits(start=settings.render_start_seconds, step=settings.render_step_seconds)
    return RenderProcess(load, limits)


def _measured_usage() -> Usage:
    """Return a clock whose shares are metrics."""
    usage = Usage()
    metrics.GPU_IDLE_SHARE.set_function(lambda: usage.idle_share)
    metrics.GPU_OVERHEAD_SHARE.set_function(lambda: usage.overhead_share)
    return usage
