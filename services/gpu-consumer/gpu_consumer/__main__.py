"""`python -m gpu_consumer`: wires the worker and runs it until SIGTERM. Exit codes: gpu_consumer.startup.ExitCode."""

import asyncio

import structlog

from chassis import logs
from chassis.service import App, refusing_bad_settings, run, serve
from chassis.settings import Address, load
from darkroom_contracts.models import Model
from gpu_consumer.app import build, render_process
from gpu_consumer.settings import Settings
from gpu_consumer.startup import StartupError


def main() -> None:
    with refusing_bad_settings():
        settings = load(Settings)
        settings.check()
        model = settings.find_model()
    logs.configure("gpu-consumer", settings.log)
    structlog.contextvars.bind_contextvars(worker=settings.name, model=model.name)
    try:
        run(_serve(settings, model))
    except StartupError as error:
        structlog.get_logger().error("the worker can't go on", code=error.code, error=error.message)
        raise SystemExit(error.exit_code) from None


async def _serve(settings: Settings, model: Model) -> None:
    app = build(settings, model, render_process(settings, model))
    try:
        async with app.database:
            address = Address(settings.consumer_host, settings.consumer_port)
            await serve(App(app.http, app.health, [app.worker]), address)
    finally:
        await asyncio.gather(*(broker.close() for broker in app.brokers))


if __name__ == "__main__":
    main()
