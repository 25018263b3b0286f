"""The statement with which docs/operating-webhooks.md closes letters that nobody will replay."""

from pathlib import Path

from tests.integration.operations.jobs import Jobs

PAGE = (Path(__file__).parents[4] / "docs" / "operating-webhooks.md").read_text()
STATEMENT = PAGE.partition("```sql\n")[2].partition("```")[0]
DELETED = """
    WITH endpoint AS (
        INSERT INTO webhook_endpoints (tenant_id, url, deleted_at) VALUES ($1, 'https://example.com/', now())
        RETURNING id
    )
    UPDATE webhook_deliveries SET endpoint_id = endpoint.id FROM endpoint WHERE job_id = $2
"""


async def test_letters_of_deleted_endpoints_are_closed(jobs: Jobs) -> None:
    """All others stay open, and the closed ones no longer keep their deliveries."""
    kept, closed = await jobs.ended("succeeded"), await jobs.ended("succeeded")
    for job_id in (kept, closed):
        await jobs.given_up(job_id)
    failed = await jobs.dead()
    await jobs.execute(DELETED, jobs.tenant, closed)
    await jobs.execute(STATEMENT)
    letters = await jobs.fetch("SELECT job_id, status, resolved_at IS NOT NULL AS resolved FROM dead_letters")
    assert {tuple(row) for row in letters} == {
        (kept, "open", False),
        (closed, "discarded", True),
        (failed, "open", False),
    }
    held = await jobs.fetch("SELECT job_id FROM webhook_deliveries WHERE dead_lettered")
    assert [row["job_id"] for row in held] == [kept]
