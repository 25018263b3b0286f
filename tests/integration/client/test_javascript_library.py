"""The JavaScript library of Standard Webhooks' authors, on deliveries that are signed here."""

import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from darkroom_contracts.webhooks.signing import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, encode_key, verify
from tests.integration.webhooks.dispatchers import KEYS, open_dispatch
from tests.integration.webhooks.jobs import Shop
from tests.support.receiver import open_receiver
from tests.support.webhooks import BODY, OTHER_SECRET, SECRET, signed

SOURCE = Path(__file__).parent / "standardwebhooks"
SEED = 20261128


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the library, as package-lock.json pins it, and the script that calls it."""
    missing = [program for program in ("node", "npm") if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed")
    folder = tmp_path_factory.mktemp("standardwebhooks") / "oracle"
    shutil.copytree(SOURCE, folder)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    if "ENOTFOUND" in installed.stderr or "EAI_AGAIN" in installed.stderr or "ECONNREFUSED" in installed.stderr:
        pytest.skip("npm can't reach its registry, and has the library in no cache")
    assert installed.returncode == 0, installed.stderr
    return folder


def delivery(body: bytes, *secrets: str, **more: Any) -> dict[str, Any]:
    return {"secret": secrets[0], "headers": signed(body, *secrets, **more), "body": body.decode()}


def checked(library: Path, deliveries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the library's findings, one for each delivery."""
    run = subprocess.run(
        ["node", "check.mjs"], cwd=library, input=json.dumps(deliveries), capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    found: list[dict[str, Any]] = json.loads(run.stdout)
    assert len(found) == len(deliveries)
    return found


def random_body(source: random.Random) -> bytes:
    """Return JSON with a random string: the library parses what it has verified."""
    alphabets = ((32, 127), (0, 0x800), (0x1F300, 0x1FAFF))
    text = "".join(chr(source.randrange(*source.choice(alphabets))) for _ in range(source.randrange(200)))
    return json.dumps({"text": text}, ensure_ascii=False).encode()


def test_the_library_verifies_what_is_signed_and_signs_alike(library: Path) -> None:
    """500 random bodies, ids and secrets: verified, refused once changed, and signed the same by both."""
    source = random.Random(SEED)
    deliveries = [
        delivery(random_body(source), encode_key(source.randbytes(source.randrange(24, 65))), delivery_id=f"d-{number}")
        for number in range(500)
    ]
    for sent, found in zip(deliveries, checked(library, deliveries), strict=True):
        headers, body = sent["headers"], sent["body"].encode()
        assert (found["verified"], found["changed"]) == (True, False), sent
        assert found["signature"] == headers[SIGNATURE_HEADER]
        timestamp = int(headers[TIMESTAMP_HEADER])
        assert verify(sent["secret"], headers[ID_HEADER], timestamp, body, found["signature"])


def test_the_library_verifies_during_a_rotation(library: Path) -> None:
    """Either secret verifies among two signatures; a secret that did not sign does not."""
    both = [delivery(BODY, SECRET, OTHER_SECRET), delivery(BODY, OTHER_SECRET, SECRET)]
    swapped = [{**both[0], "secret": OTHER_SECRET}, {**delivery(BODY, SECRET), "secret": OTHER_SECRET}]
    assert [found["verified"] for found in checked(library, [*both, *swapped])] == [True, True, True, False]


def test_the_library_refuses_what_is_too_old(library: Path) -> None:
    """Both have the same tolerance."""
    ages = [delivery(BODY, SECRET, seconds_ago=age) for age in (290, 320, -290, -320)]
    assert [found["verified"] for found in checked(library, ages)] == [True, False, True, False]


async def test_the_library_verifies_what_is_sent(library: Path, database: str, rows: asyncpg.Connection) -> None:
    """The request as its receiver has it, from a dispatcher, with the secret of the tenant's implicit endpoint."""
    shop = await Shop.open(rows)
    async with open_receiver() as receiver, open_dispatch(database) as dispatch:
        await shop.end(receiver.url)
        await dispatch.round()
    [request], [delivery] = receiver.requests, await shop.deliveries()
    secret = KEYS.secret(KEYS.primary, delivery["endpoint_id"], 0)
    sent = {"secret": secret, "headers": request.headers, "body": request.body.decode()}
    [found] = checked(library, [sent])
    assert (found["verified"], found["changed"]) == (True, False)
    assert found["signature"] == request.headers[SIGNATURE_HEADER]
