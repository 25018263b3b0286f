"""The command with which docs/operating-webhooks.md discards letters that nobody will replay."""

import re
import shlex
from pathlib import Path

from tests.integration.operations.commands.desk import Desk
from tests.integration.operations.jobs import Jobs

PAGE = (Path(__file__).parents[4] / "docs" / "operating-webhooks.md").read_text()
MOVE_TO_SHOP = """
    WITH shop AS (INSERT INTO tenants (name) VALUES ('shop') RETURNING id)
    UPDATE dead_letters SET tenant_id = shop.id FROM shop WHERE job_id = $1
"""


async def test_a_tenant_s_letters_are_discarded(desk: Desk, jobs: Jobs) -> None:
    """All others stay open, and the discarded ones no longer keep their deliveries."""
    [command] = re.findall(r"^darkroom (dead-letters discard .*)$", PAGE, re.MULTILINE)
    kept, closed = await jobs.ended("succeeded"), await jobs.ended("succeeded")
    for job_id in (kept, closed):
        await jobs.given_up(job_id)
    failed = await jobs.dead()
    await jobs.execute(MOVE_TO_SHOP, closed)
    finished = await desk(*shlex.split(command), "--yes")
    assert (finished.exit_code, finished.out.startswith("1 dead letter is discarded; ")) == (0, True), finished
    letters = await jobs.fetch("SELECT job_id, status, resolved_at IS NOT NULL AS resolved FROM dead_letters")
    assert {tuple(row) for row in letters} == {
        (kept, "open", False),
        (closed, "discarded", True),
        (failed, "open", False),
    }
    held = await jobs.fetch("SELECT job_id FROM webhook_deliveries WHERE dead_lettered")
    assert [row["job_id"] for row in held] == [kept]
