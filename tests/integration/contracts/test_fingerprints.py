"""Which failures count as of one kind."""

import json
import time

import asyncpg
import pytest

ALIKE = [
    pytest.param(
        "Job 01993b5c-0000-7000-8000-000000000001 broke at step 7",
        "Job 0fffffff-abcd-7000-8000-0000000000aa broke at step 12",
        id="ids",
    ),
    pytest.param("Object deadbeef is missing", "Object 0123456789abcdef0123 is missing", id="hexadecimal ids"),
    pytest.param("loss was 0.5", "loss was 1e-05", id="numbers"),
    pytest.param("expected shape (2, 4, 64, 64)", "expected shape (1, 77, 768)", id="lists of numbers"),
    pytest.param(
        "Tried to allocate 512.00 MiB. GPU 0 has 79.11 GiB of which 1.2 GiB is free.",
        "Tried to allocate 2 GiB. GPU 7 has 80 GiB of which 980.25 MiB is free.",
        id="sizes",
    ),
    pytest.param("illegal access at 0x7f3a9c00", "illegal access at 0xdeadbeef", id="addresses in memory"),
    pytest.param("no answer from 10.0.0.7:5432", "no answer from 192.168.1.200:9000", id="addresses"),
    pytest.param("no answer from fe80::1ff:fe23:4567:890a", "no answer from 2001:db8::1", id="IPv6 addresses"),
    pytest.param("no answer from s3-a7x.internal", "no answer from s3-b12.internal", id="names of machines"),
    pytest.param("GET http://s3/a?x=1 failed", "GET https://u:p@s3.example.com:9000/b/c failed", id="URLs"),
    pytest.param("can't open /tmp/a.safetensors", "can't open /var/lib/darkroom/models/tiny/b_c.bin", id="paths"),
    pytest.param("can't open models/tiny/unet.bin", "can't open ./cache/x/vae.bin", id="relative paths"),
    pytest.param("late: 2026-11-28T12:00:00.123Z", "late: 2025-01-01T00:00:00Z", id="times"),
]
DIFFERENT = [
    pytest.param("The UNet returned NaN at step 7", "The VAE returned NaN at step 7", id="words"),
    pytest.param("CUDA out of memory", "CUDA error: an illegal memory access was encountered", id="messages"),
    pytest.param("Job 7 ended", "Job 7 began", id="words beside numbers"),
]


async def fingerprint(
    connection: asyncpg.Connection, message: str, code: str = "pipeline_error", stage: str = "render"
) -> str:
    error = json.dumps({"code": code, "stage": stage, "message": message})
    return str(await connection.fetchval("SELECT error_fingerprint($1)", error))


@pytest.mark.parametrize(("one", "other"), ALIKE)
async def test_failures_of_one_kind_share_a_fingerprint(connection: asyncpg.Connection, one: str, other: str) -> None:
    """Ids, numbers, addresses and paths make no difference."""
    assert await fingerprint(connection, one) == await fingerprint(connection, other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
async def test_other_words_are_another_failure(connection: asyncpg.Connection, one: str, other: str) -> None:
    """What is left of a message tells failures apart."""
    assert await fingerprint(connection, one) != await fingerprint(connection, other)


async def test_other_codes_and_stages_are_another_failure(connection: asyncpg.Connection) -> None:
    """A message that occurs while rendering is another failure when it occurs while storing."""
    prints = {
        await fingerprint(connection, "broke", code, stage)
        for code in ("pipeline_error", "out_of_memory")
        for stage in ("render", "store")
    }
    assert len(prints) == 4


async def test_lost_workers_share_a_fingerprint(connection: asyncpg.Connection) -> None:
    """Whatever their names are: the message says nothing else."""
    ansel = await fingerprint(connection, "Worker ansel was lost during attempt 1.", "worker_lost")
    assert ansel == await fingerprint(connection, "Worker brassai was lost during attempt 2.", "worker_lost")


async def test_no_message_is_slow_to_read(connection: asyncpg.Connection) -> None:
    """The longest messages that a worker sends, made to be hard for a regular expression, take milliseconds."""
    for hard in ("a" * 2000, "/a" * 1000, "1:" * 1000, "a-" * 1000, "://" * 600, "a1" * 1000, "x." * 1000):
        began = time.perf_counter()
        await fingerprint(connection, hard)
        assert time.perf_counter() - began < 0.5, hard[:4]
