import json
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from click.testing import CliRunner, Result

import darkroom.commands
from darkroom.cli import main
from darkroom.errors import NotVerifiableError
from darkroom.verification import Changed, Verification, verify
from darkroom_contracts.api import CancelReply, Output, Receipt
from darkroom_contracts.states import JobStatus
from tests.support.models import execution
from tests.unit.client.answers import AT, JOB_ID, KEY, Script, failed, job, output, problem, reply
from tests.unit.client.picture_files import ORIGIN, picture_file, with_a_pixel_changed

RECEIPT = Receipt(ORIGIN.model_revision, "ddim", ORIGIN.dtype, ORIGIN.device, ORIGIN.versions)


def rendering(again: bytes, receipt: Receipt = RECEIPT) -> Script:
    """Return an API that renders these bytes."""
    done: Output = output(body=again)
    return Script(
        reply(job(), 202), reply(job("succeeded", outputs=[done], receipt=receipt)), httpx2.Response(200, content=again)
    )


def found(data: bytes, again: bytes, receipt: Receipt = RECEIPT) -> Verification:
    with rendering(again, receipt).client() as client:
        return verify(client, data)


def test_the_same_bytes_are_identical() -> None:
    """A picture that is rendered byte for byte is identical."""
    assert found(picture_file(), picture_file()).verdict == "identical"


def test_the_same_pixels_in_another_file_have_a_verdict_of_their_own() -> None:
    """A file with the same pixels but other metadata is distinguished from an identical one."""
    result = found(picture_file(), picture_file(prompt="another"))
    assert (result.verdict, result.differing_pixels) == ("same_pixels", 0)


def test_a_changed_pixel_is_measured() -> None:
    """A picture with changed pixels is different, and the difference is measured."""
    result = found(picture_file(with_a_pixel_changed(by=128)), picture_file())
    assert (result.verdict, result.pixels, result.differing_pixels, result.largest_difference) == (
        "different",
        128,
        1,
        128,
    )
    assert result.changed == []


def test_changes_of_the_renderer_are_named() -> None:
    """Model, device and libraries that have changed are named."""
    receipt = msgspec.structs.replace(RECEIPT, model_revision="sha256:fedc", device="a GPU", versions={"torch": "3"})
    result = found(picture_file(), picture_file(with_a_pixel_changed()), receipt)
    assert result.changed == [
        Changed("device", "cpu", "a GPU"),
        Changed("model revision", "sha256:0123456789abcdef", "sha256:fedc"),
        Changed("torch", "2", "3"),
    ]


EXECUTION = execution(layout="contiguous", cuda_graphs=False, cpu_threads=2)
EXACT = msgspec.structs.replace(ORIGIN, vae_dtype="float32", batch_size=4, execution=EXECUTION)


def test_changes_of_the_execution_are_named() -> None:
    """Layout, compilation, graphs, precisions, threads and batch that have changed are named."""
    now = execution(
        layout="channels_last", cuda_graphs=True, cpu_threads=None, tf32_convolutions=True, compiled=["64x64"]
    )
    receipt = msgspec.structs.replace(RECEIPT, vae_dtype="float16", batch_size=1, execution=now)
    result = found(picture_file(origin=EXACT), picture_file(with_a_pixel_changed()), receipt)
    assert result.changed == [
        Changed("CPU threads", "2", "none"),
        Changed("CUDA graphs", "off", "on"),
        Changed("TF32 convolutions", "off", "on"),
        Changed("VAE dtype", "float32", "float16"),
        Changed("compilation", "none", "64x64"),
        Changed("layout", "contiguous", "channels_last"),
        Changed("pictures in its batch", "4", "1"),
    ]


def test_what_is_unknown_explains_nothing() -> None:
    """No change is claimed of what the picture or the receipt does not record."""
    result = found(picture_file(), picture_file(), msgspec.structs.replace(RECEIPT, execution=EXECUTION))
    assert result.changed == []
    assert found(picture_file(origin=EXACT), picture_file(), RECEIPT).changed == [
        Changed("pictures in its batch", "4", "1")
    ]


def test_one_picture_is_rendered() -> None:
    """The submission asks for one picture, with the seed and the format of the file."""
    data = picture_file(seed=9, num_images=4, output_format="webp", preview_every=1, prompt="日本")
    script = rendering(data)
    with script.client() as client:
        verify(client, data)
    sent = json.loads(script.requests[0].content)
    wanted = sent["input"]
    assert (sent["model"], wanted["prompt"], wanted["seed"]) == ("tiny", "日本", 9)
    assert (wanted["num_images"], wanted["output_format"], wanted["preview_every"]) == (1, "webp", 0)


def test_a_render_that_fails_leaves_no_verdict() -> None:
    """If the picture can't be rendered again, the error holds the reason of the job."""
    with (
        Script(reply(job(), 202), reply(failed())).client() as client,
        pytest.raises(NotVerifiableError, match=r"ended as failed: The scheduler failed\. \(pipeline_error\)"),
    ):
        verify(client, picture_file())


def test_an_interrupt_cancels_the_job() -> None:
    """An interrupt while waiting cancels the job."""
    canceled = reply(CancelReply(JOB_ID, JobStatus.RUNNING, AT))
    script = Script(reply(job(), 202), KeyboardInterrupt(), canceled)
    with script.client() as client, pytest.raises(KeyboardInterrupt):
        verify(client, picture_file())
    assert script.requests[-1].url.path == f"/v1/jobs/{JOB_ID}/cancel"


def command(monkeypatch: pytest.MonkeyPatch, script: Script, path: Path, *options: str) -> Result:
    monkeypatch.setenv("DARKROOM_URL", "http://edge")
    monkeypatch.setenv("DARKROOM_API_KEY", KEY)
    monkeypatch.setattr(darkroom.commands, "Client", script.client)
    return CliRunner().invoke(main, ["verify", str(path), *options])


@pytest.mark.parametrize(
    ("again", "exit_code", "words"),
    [
        (picture_file(), 0, "identical: the same bytes."),
        (
            picture_file(prompt="another"),
            0,
            "the pixels are identical; the files differ in their metadata or compression.",
        ),
        (picture_file(with_a_pixel_changed(by=3)), 1, "1 of 128 pixels differ, by at most 3 of 255."),
    ],
)
def test_the_command_prints_the_verdict(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, again: bytes, exit_code: int, words: str
) -> None:
    """Each verdict is a sentence, and the exit code says whether the pixels are the same."""
    path = tmp_path / "out.png"
    path.write_bytes(picture_file())
    result = command(monkeypatch, rendering(again), path)
    assert result.exit_code == exit_code
    assert words in result.stdout


def test_the_command_prints_what_changed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Changes of the renderer follow the verdict, without control characters."""
    path = tmp_path / "out.png"
    path.write_bytes(picture_file(origin=msgspec.structs.replace(ORIGIN, device="\x1b[2J")))
    result = command(monkeypatch, rendering(picture_file(with_a_pixel_changed())), path)
    assert "  device was \N{REPLACEMENT CHARACTER}[2J and is cpu\n" in result.stdout


def test_programs_get_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`--json` prints the whole comparison."""
    path = tmp_path / "out.png"
    path.write_bytes(picture_file(with_a_pixel_changed()))
    result = command(monkeypatch, rendering(picture_file()), path, "--json")
    printed: dict[str, Any] = json.loads(result.stdout)
    assert (result.exit_code, printed["verdict"], printed["differing_pixels"]) == (1, "different", 1)
    assert printed["picture"]["input"]["prompt"] == "a red circle on a blue background"


@pytest.mark.parametrize(
    ("data", "answers", "sentence"),
    [
        (None, [], "can't be read: No such file or directory."),
        (b"no picture", [], "The file is not a PNG, JPEG or WebP picture, or it is damaged."),
        (
            picture_file(),
            [problem(422, "invalid_request", "must be one of a, b", field="model")],
            "model: must be one of",
        ),
        (picture_file(), [reply(job(), 202), reply(failed())], "could not be rendered again"),
        (picture_file(), [reply(job(), 202), KeyboardInterrupt(), reply(None)], "was not compared"),
    ],
)
def test_no_verdict_has_an_exit_code_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data: bytes | None, answers: list[Any], sentence: str
) -> None:
    """A picture that can't be compared gives one sentence and exit code 2, which no verdict has."""
    path = tmp_path / "out.png"
    if data is not None:
        path.write_bytes(data)
    result = command(monkeypatch, Script(*answers), path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
