"""What a client of the HTTP API does: submit, look, wait, download."""

import asyncio
from typing import Any

import httpx2
import msgspec

from darkroom_contracts.api import Job, Output
from darkroom_contracts.states import TERMINAL, JobStatus

PAUSE_SECONDS = 0.05


class Client:
    """One tenant's client. Writes go to the gateway, reads to status and downloads to S3, as through the edge."""

    def __init__(self, key: str, gateway_url: str, status_url: str, s3_endpoint: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._writes = httpx2.AsyncClient(base_url=gateway_url, headers=headers, timeout=30, trust_env=False)
        self._reads = httpx2.AsyncClient(base_url=status_url, headers=headers, timeout=30, trust_env=False)
        self._s3_endpoint = s3_endpoint

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._writes.aclose()
        await self._reads.aclose()

    async def post(self, path: str, **request: Any) -> httpx2.Response:
        """Send a write and return any response."""
        return await self._writes.post(path, **request)

    async def get(self, path: str) -> httpx2.Response:
        """Send a read and return any response."""
        return await self._reads.get(path)

    async def submit(self, model: str, *, steps: int = 2, **more: Any) -> str:
        """Submit a job, with `more` in its input, and return its id."""
        answer = await self.post("/v1/jobs", json=request(model, steps=steps, **more))
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def job(self, job_id: str) -> Job:
        answer = await self.get(f"/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return msgspec.json.decode(answer.content, type=Job)

    async def cancel(self, job_id: str) -> httpx2.Response:
        return await self.post(f"/v1/jobs/{job_id}/cancel")

    async def delete(self, job_id: str) -> httpx2.Response:
        return await self._writes.delete(f"/v1/jobs/{job_id}")

    async def finished(self, job_id: str, *, seconds: float = 60) -> Job:
        """Wait until the job is terminal and return it. Raises TimeoutError with its last state."""
        return await self._until(job_id, lambda job: job.status in TERMINAL, "terminal", seconds)

    async def succeeded(self, *job_ids: str, seconds: float = 60) -> list[Job]:
        """Wait until all jobs are terminal, require their success, and return them."""
        jobs = [await self.finished(job_id, seconds=seconds) for job_id in job_ids]
        assert [(job.status, job.error) for job in jobs] == [(JobStatus.SUCCEEDED, None)] * len(jobs)
        return jobs

    async def running(self, job_id: str, *, seconds: float = 60) -> Job:
        """Wait until a worker renders the job and return it. Fails if it finished before that was seen."""
        job = await self._until(job_id, lambda job: job.status != JobStatus.QUEUED, "claimed", seconds)
        assert job.status == JobStatus.RUNNING, f"the render was too short to be seen: {job.status}"
        return job

    async def rendering(self, job_id: str, *, seconds: float = 60) -> Job:
        """Wait until a step of the running attempt was seen, and return the job."""

        def seen(job: Job) -> bool:
            assert job.status not in TERMINAL, f"the render was too short to be seen: {job.status}"
            return job.status == JobStatus.RUNNING and job.progress is not None and job.progress.step > 0

        return await self._until(job_id, seen, "rendering", seconds)

    async def download(self, output: Output) -> httpx2.Response:
        """Download the picture behind a presigned URL, without a key."""
        async with httpx2.AsyncClient(base_url=self._s3_endpoint, timeout=30, trust_env=False) as http:
            return await http.get(output.url)

    async def _until(self, job_id: str, holds: Any, what: str, seconds: float) -> Job:
        job = await self.job(job_id)
        try:
            async with asyncio.timeout(seconds):
                while not holds(job):
                    await asyncio.sleep(PAUSE_SECONDS)
                    job = await self.job(job_id)
        except TimeoutError as error:
            raise TimeoutError(f"job {job_id} is not {what} within {seconds} s, but {job}") from error
        return job


def request(model: str, *, steps: int = 2, **more: Any) -> dict[str, Any]:
    """Return a valid body of POST /v1/jobs."""
    return {"model": model, "input": {"prompt": "a red circle", "num_inference_steps": steps, **more}}
