import re
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

import darkroom
from darkroom import webhooks
from darkroom_contracts.api.dead_letter_groups import DeadLetterGroupList
from darkroom_contracts.api.dead_letters import DeadLetter, DeadLetterList
from darkroom_contracts.api.webhook_deliveries import RecoverReply, WebhookDeliveryList
from tests.support.webhooks import BODY, DELIVERY_ID, JOB_ID, SECRET, signed
from tests.unit.client.answers import PICTURE, Script, job, output, reply
from tests.unit.client.letter_answers import AT, MESSAGE, group, letter
from tests.unit.client.replay_answers import finished, replay
from tests.unit.client.webhook_answers import delivery, endpoint_with_secret

README = Path(__file__).parents[3] / "client" / "README.md"


def examples() -> list[str]:
    return re.findall(r"```python\n(.+?)```", README.read_text(), re.DOTALL)


def test_the_example_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python example of the client's README runs as it is and saves the picture."""
    example = examples()[0]
    done = reply(job("succeeded", outputs=[output()]))
    script = Script(reply(job(), 202), done, httpx2.Response(200, content=PICTURE))
    monkeypatch.setattr(darkroom, "Client", lambda url, key: script.client())
    monkeypatch.chdir(tmp_path)
    exec(example)
    assert (tmp_path / "lighthouse-0.png").read_bytes() == PICTURE


def test_the_example_of_a_receiver_works(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The receiver of the client's README runs as it is, accepts a signed delivery and refuses a changed one."""
    monkeypatch.setenv("DARKROOM_WEBHOOK_SECRET", SECRET)
    names: dict[str, Any] = {}
    exec(examples()[1], names)
    headers = signed()
    assert [names["receive"](headers, body) for body in (BODY, BODY + b" ")] == [204, 401]
    accepted, refused = capsys.readouterr().out.splitlines()
    assert accepted == f"{DELIVERY_ID}: job {JOB_ID} version 3 is succeeded"
    assert "No signature is valid" in refused


def test_the_example_of_endpoints_works(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The example creates an endpoint, lists its deliveries and sends some again."""
    script = Script(
        reply(endpoint_with_secret(), 201),
        reply(WebhookDeliveryList([delivery()])),
        reply(RecoverReply(redelivered=2)),
    )
    monkeypatch.setattr(darkroom, "Client", lambda url, key: script.client())
    exec(examples()[2], {})
    assert capsys.readouterr().out.splitlines() == [
        SECRET,
        f"{DELIVERY_ID} job.succeeded pending",
        "2 are sent again",
    ]


def test_the_errors_of_the_readme_are_those_of_the_client() -> None:
    """Each error of `webhooks` is described."""
    described = re.findall(r"^\| `(\w+Error)` \|", README.read_text(), re.MULTILINE)
    assert described == [each.__name__ for each in webhooks.WebhookError.__subclasses__()]


def test_the_example_of_the_desk_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example lists groups and letters, and exports letters to a file."""
    found = letter()
    script = Script(
        reply(DeadLetterGroupList([group()], AT)),
        reply(DeadLetterList([found])),
        httpx2.Response(200, content=msgspec.json.encode(found) + b"\n"),
    )
    monkeypatch.setattr(darkroom, "Client", lambda url, key: script.client())
    monkeypatch.chdir(tmp_path)
    exec(examples()[3], {})
    assert capsys.readouterr().out.splitlines() == [f"3 out_of_memory {MESSAGE}", f"{found.id} gpu-1 {MESSAGE}"]
    assert msgspec.json.decode((tmp_path / "letters.jsonl").read_bytes(), type=DeadLetter) == found


def test_the_example_of_a_replay_works(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The example plans a replay, starts it and waits for its end."""
    script = Script(
        reply(replay("planning"), 202), *map(reply, (replay("planning"), replay(), replay("running"), finished()))
    )
    monkeypatch.setattr(darkroom, "Client", lambda url, key: script.client())
    exec(examples()[4], {})
    assert capsys.readouterr().out.splitlines() == ["{'will replay': 42}", "finished 42 0"]
