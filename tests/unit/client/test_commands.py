import json
import sys
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

import darkroom.commands
from darkroom.cli import main
from darkroom_contracts.api import CancelReply
from darkroom_contracts.states import JobStatus
from tests.unit.client.answers import JOB_ID, KEY, PICTURE, Script, failed, job, output, problem, reply, running


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARKROOM_URL", "http://edge")
    monkeypatch.setenv("DARKROOM_API_KEY", KEY)


def _run(monkeypatch: pytest.MonkeyPatch, script: Script, *arguments: str | Path) -> Result:
    monkeypatch.setattr(darkroom.commands, "Client", script.client)
    return CliRunner().invoke(main, [*map(str, arguments)])


pytestmark = pytest.mark.usefixtures("environment")


def test_a_submission_prints_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """`submit` prints the job at once, with its prompt unchanged."""
    result = _run(monkeypatch, Script(reply(job(), 202)), "submit", "a lighthouse")
    assert result.exit_code == 0
    assert str(JOB_ID) in result.stdout
    assert "a [bold]lighthouse[/bold]" in result.stdout


def test_options_reach_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options become fields of the request; the model decides what was not given."""
    script = Script(reply(job(), 202))
    _run(monkeypatch, script, "submit", "x", "--model", "tiny", "--steps", "5", "--seed", "0", "--images", "2")
    sent = json.loads(script.requests[0].content)
    wanted = sent["input"]
    assert (sent["model"], wanted["num_inference_steps"], wanted["seed"], wanted["num_images"]) == ("tiny", 5, 0, 2)
    assert (wanted["width"], wanted["output_format"]) == (None, "png")


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_a_number_that_json_lacks_is_refused(monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    """It would be sent as null, and the model's default would be taken."""
    result = _run(monkeypatch, Script(), "submit", "x", "--guidance-scale", number)
    assert (result.exit_code, f"{number} is not a finite number." in result.stderr) == (2, True)


def test_webhooks_and_metadata_reach_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """`submit` names the receiver, its events and the job's metadata; without them the API's defaults hold."""
    script = Script(reply(job(), 202), reply(job(), 202))
    options = ("--webhook-url", "https://shop/h", "--webhook-event", "job.started", "--metadata", "order=1=2")
    _run(monkeypatch, script, "submit", "x", *options)
    _run(monkeypatch, script, "submit", "x")
    given, default = (json.loads(request.content) for request in script.requests)
    assert given["webhook_url"] == "https://shop/h"
    assert (given["webhook_events"], given["metadata"]) == (["job.started"], {"order": "1=2"})
    assert (default["webhook_url"], len(default["webhook_events"]), default["metadata"]) == (None, 4, {})


def test_waiting_saves_the_picture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`--output` waits for the end and saves the picture; with `--json` stdout holds JSON alone."""
    done = reply(job("succeeded", outputs=[output()]))
    script = Script(reply(job(), 202), reply(running(5)), done, httpx2.Response(200, content=PICTURE))
    target = tmp_path / "lighthouse.png"
    result = _run(monkeypatch, script, "submit", "x", "--output", str(target), "--json")
    assert target.read_bytes() == PICTURE
    assert json.loads(result.stdout)["status"] == "succeeded"
    assert f"Saved {target}." in result.stderr


def test_several_pictures_get_several_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Several pictures are saved with their index in the name."""
    done = reply(job("succeeded", outputs=[output(0), output(1)]), 202)
    pictures = (httpx2.Response(200, content=PICTURE) for _ in range(2))
    _run(monkeypatch, Script(done, done, *pictures), "submit", "x", "--output", str(tmp_path / "p.png"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p-0.png", "p-1.png"]


@pytest.mark.parametrize("options", [("--wait",), ("--wait", "--json")])
def test_a_job_that_fails_fails_the_command(monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]) -> None:
    """A job that ends without a picture fails the command, which prints the reason."""
    result = _run(monkeypatch, Script(reply(job(), 202), reply(failed())), "submit", "x", *options)
    assert result.exit_code == 1
    assert f"Error: Job {JOB_ID} ended as failed: The scheduler failed. (pipeline_error)" in result.stderr


def test_an_interrupt_leaves_the_job_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while waiting says that the job continues and how to cancel it."""
    script = Script(reply(job(), 202), KeyboardInterrupt())
    result = _run(monkeypatch, script, "submit", "x", "--wait")
    assert result.exit_code == 1
    assert f"continues; `darkroom cancel {JOB_ID}` cancels it" in result.stderr


@pytest.mark.parametrize(
    "lost",
    [
        (httpx2.ConnectError("refused"),) * 4,
        (problem(410, "gone", "Gone."),),
        (reply(job("succeeded", outputs=[output()])), httpx2.Response(403)),
        (reply(job("succeeded", outputs=[output()])), KeyboardInterrupt()),
    ],
)
def test_a_job_whose_command_is_cut_off_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lost: tuple[httpx2.Response | BaseException, ...]
) -> None:
    """It was accepted, and without its id nobody finds it again."""
    script = Script(reply(job(), 202), *lost)
    result = _run(monkeypatch, script, "submit", "x", "--output", str(tmp_path / "p.png"))
    assert (result.exit_code, result.stdout, [*tmp_path.iterdir()]) == (1, "", [])
    assert result.stderr.endswith(f" Job {JOB_ID} is accepted; `darkroom job {JOB_ID}` shows it.\n")


def test_a_picture_is_replaced_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody reads half of it, and a full disk leaves the old one."""
    target = tmp_path / "p.png"
    target.write_bytes(b"old")
    done = reply(job("succeeded", outputs=[output()]))
    with target.open("rb") as old:
        _run(monkeypatch, Script(done, done, httpx2.Response(200, content=PICTURE)), "submit", "x", "--output", target)
        assert (old.read(), target.read_bytes()) == (b"old", PICTURE)


def test_a_job_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """`job` shows the progress, the error and the pictures, if there are any."""
    assert "step 5 of 20" in _run(monkeypatch, Script(reply(running(5))), "job", str(JOB_ID)).stdout
    assert "The scheduler failed." in _run(monkeypatch, Script(reply(failed())), "job", str(JOB_ID)).stdout


@pytest.mark.parametrize("origin", ["", "http://edge"])
def test_a_picture_is_shown_with_a_whole_url(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    """`job` prints URLs that can be opened, though a server without a public URL answers paths."""
    path = "/darkroom/jobs/0.png?X-Amz-Signature=s"
    done = job("succeeded", outputs=[replace(output(), url=origin + path)])
    assert f"http://edge{path}\n" in _run(monkeypatch, Script(reply(done)), "job", str(JOB_ID)).stdout


@pytest.mark.parametrize(("status", "words"), [("running", "will stop within a step"), ("canceled", "is canceled")])
def test_a_cancel_prints_the_outcome(monkeypatch: pytest.MonkeyPatch, status: str, words: str) -> None:
    """`cancel` distinguishes a job that will stop from one that has ended."""
    result = _run(monkeypatch, Script(reply(CancelReply(JOB_ID, JobStatus(status)))), "cancel", str(JOB_ID))
    assert (result.exit_code, words in result.stdout) == (0, True)


def test_a_refusal_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal of the API is one sentence on stderr and an exit code."""
    result = _run(monkeypatch, Script(problem(404, "not_found", "There is no such job.")), "job", str(JOB_ID))
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: There is no such job.\n")


@pytest.mark.parametrize("name", ["DARKROOM_URL", "DARKROOM_API_KEY"])
def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Without the address of the API or a key, the command says what to set."""
    monkeypatch.delenv(name)
    result = CliRunner().invoke(main, ["job", str(JOB_ID)])
    assert result.exit_code == 1
    assert "Set DARKROOM_URL and DARKROOM_API_KEY" in result.stderr


@pytest.mark.parametrize("key", ["dk_client_é", "dk_client_a\n", "dk_client_a "])
def test_a_damaged_key_is_refused(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """A key that can't stand in a header is refused before a request, without being shown."""
    monkeypatch.setenv("DARKROOM_API_KEY", key)
    result = _run(monkeypatch, Script(), "job", str(JOB_ID))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: DARKROOM_API_KEY holds characters that no API key has; copy the key again.\n"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_full_disk_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    """The command fails, whether its output is written at once or at its end."""
    monkeypatch.setattr(darkroom.commands, "Client", Script(reply(job())).client)
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(SystemExit) as raised:
            main(["job", str(JOB_ID), *options])
    assert raised.value.code == 1
    assert capsys.readouterr().err.startswith("Error: The output is not complete: no space is left")


def test_the_command_prints_its_version() -> None:
    """`darkroom --version` prints the version."""
    assert CliRunner().invoke(main, ["--version"]).stdout.startswith("darkroom, version ")


def test_commands_of_other_distributions_are_found() -> None:
    """Commands of all installed distributions are listed, and an unknown command is refused."""
    listed = CliRunner().invoke(main, ["--help"]).stdout
    for command in ("submit", "job", "cancel", "keys", "queues", "dead-letters", "migrate", "bootstrap-key"):
        assert f"  {command} " in listed
    assert "No such command 'nonsense'" in CliRunner().invoke(main, ["nonsense"]).stderr
