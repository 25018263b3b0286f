"""Wiring: everything a worker consists of, built from its settings. Connects to nothing."""

from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from starlette.applications import Starlette

from chassis.broker import Broker
from chassis.health import Health
from chassis.http import build_health_app
from chassis.postgres import Database
from chassis.publishing import Announcer, Publisher
from chassis.storage import Storage
from darkroom_contracts.models import Model
from darkroom_contracts.topology import Lanes, topology
from gpu_consumer import metrics
from gpu_consumer.gate import DATABASE, NAME, OWN_DATABASE, RENDERER, RESUMED, Gate
from gpu_consumer.job.bench import Bench
from gpu_consumer.job.loss_streak import LossStreak
from gpu_consumer.job.parking import Parking
from gpu_consumer.job.progress import ProgressFeed
from gpu_consumer.job.settle import Settlement
from gpu_consumer.job.store import Store
from gpu_consumer.pictures.pictures import Pictures
from gpu_consumer.protocol import Load, Size
from gpu_consumer.renderer.process import Limits, RenderProcess
from gpu_consumer.renderer.renderer import Renderer
from gpu_consumer.settings import Settings
from gpu_consumer.usage import Usage
from gpu_consumer.worker.consumer import SLOTS, Consumer
from gpu_consumer.worker.gpu_monitor import Gpu, GpuMonitor
from gpu_consumer.worker.presence import Presence
from gpu_consumer.worker.session import EmptyAnswers, Session
from gpu_consumer.worker.worker import Worker

HEAD_START_SECONDS = 0.05
"""Ten times what the next job needs to begin, when nothing is wrong."""


@dataclass(frozen=True)
class App:
    """The worker, what it consists of, what is closed after it, and its HTTP side."""

    worker: Worker
    consumer: Consumer
    bench: Bench
    storage: Storage
    database: Database
    brokers: tuple[Broker, ...]
    health: Health
    http: Starlette


def build(settings: Settings, model: Model, process: RenderProcess) -> App:
    """A worker for one model of the catalogue, which `process` renders."""
    lanes = Lanes.of(settings.broker.retry_delays)
    declared = topology([model.name], lanes)
    database = Database(settings.database, "gpu-consumer")
    consuming = Broker(settings.broker.amqp_url, f"{settings.name} consuming")
    publishing = Broker(settings.broker.amqp_url, f"{settings.name} publishing")
    gate = Gate(NAME, RENDERER, RESUMED, DATABASE, OWN_DATABASE)
    gate.allow(OWN_DATABASE)  # until a message tells otherwise
    store = Store(database, settings.name, uuid4(), settings.lease_seconds)
    gpu = Gpu.find() if settings.device == "cuda" else None
    storage = Storage(settings.storage)
    usage = Usage()
    metrics.GPU_IDLE_SHARE.set_function(lambda: usage.idle_share)
    metrics.GPU_OVERHEAD_SHARE.set_function(lambda: usage.overhead_share)
    renderer = Renderer(process, gate, usage)
    progress = ProgressFeed(Announcer(publishing))
    empty_answers = EmptyAnswers()
    losses = LossStreak()
    bench = Bench(
        model=model,
        gate=gate,
        usage=usage,
        store=store,
        renderer=renderer,
        pictures=Pictures(storage),
        settlement=Settlement(store, lanes),
        parking=Parking(Publisher(publishing), publishing, declared, lanes),
        empty_answers=empty_answers,
        progress=progress,
        losses=losses,
        heartbeat_seconds=settings.heartbeat_seconds,
        render_seconds=settings.render_seconds,
        head_start_seconds=HEAD_START_SECONDS if settings.overlap else 0,
    )
    consumer = Consumer(bench, consuming, declared, slots=SLOTS if settings.overlap else 1)
    presence = Presence(settings.database, settings.name, gate, consumer.hurry, settings.heartbeat_seconds)
    monitor = GpuMonitor(usage, gpu)
    session = Session(
        store,
        gate,
        empty_answers,
        lambda: renderer.ready,
        model=model.name,
        gpu_id=gpu.uuid if gpu else None,
        beat_seconds=settings.heartbeat_seconds,
    )
    worker = Worker(
        gate, presence, session, store, renderer, progress, monitor, losses, consumer, settings.drain_seconds
    )
    health = Health(
        {
            "model": renderer.check,
            "database": database.check,
            "broker": consuming.check,
            "instance": lambda: gate.check(OWN_DATABASE),
        }
    )
    return App(
        worker=worker,
        consumer=consumer,
        bench=bench,
        storage=storage,
        database=database,
        brokers=(consuming, publishing),
        health=health,
        http=build_health_app(health),
    )


def render_process(settings: Settings, model: Model) -> RenderProcess:
    """The render process that the settings describe, not yet started."""
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
