"""Claims that Postgres does not answer, although it answers heartbeats."""

import asyncio

import asyncpg
import pytest
from prometheus_client import REGISTRY

from gpu_consumer.worker.session import Session
from tests.integration.gpu_consumer.line import Line
from tests.support.waiting import eventually


def _unanswered() -> float:
    return REGISTRY.get_sample_value("darkroom_messages_total", {"verdict": "unanswered"}) or 0.0


async def test_no_message_is_worn_out_while_no_claim_is_answered(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that can't be written, as while an index is built, are claimed once they can be.

    A beat alone proves nothing: a worker that took the message after each beat would use up its deliveries.
    """
    monkeypatch.setattr("gpu_consumer.job.claiming.CLAIM_SECONDS", 0.3)
    app, shop, before = line.app, line.workshop, _unanswered()
    session = Session(
        app.sessions, app.gate, app.empty_answers, lambda: None, model="tiny", gpu_id=None, beat_seconds=0.1
    )
    await session.open()
    message = await shop.add_job()
    builder = await asyncpg.connect(shop.environment["DARKROOM_DATABASE_URL"])
    async with builder.transaction():
        await builder.execute("LOCK TABLE jobs IN SHARE MODE")
        line.start()
        beating = asyncio.create_task(session.run())
        await shop.publish(message)
        await eventually(lambda: _unanswered() > before)
        await asyncio.sleep(2)
        assert _unanswered() - before == 1
    await shop.reached(message.job_id, "succeeded")
    beating.cancel()
    await builder.close()
