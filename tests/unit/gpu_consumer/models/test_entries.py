from pathlib import Path
from typing import Any

import msgspec
import pytest

from darkroom_contracts.models import Catalogue, CatalogueError, Model, load_catalogue
from gpu_consumer.models import architectures, entries
from gpu_consumer.models.families import Family, PredictionType

DEPLOYED = Path("deploy/models.toml")
MANIFEST = "0123456789abcdef" * 4


def entry(family: Family = Family.SDXL, predicted: PredictionType | None = None, **changes: Any) -> Model:
    named: dict[str, Any] = {"name": "mine", "path": "mine", "description": "", "dtype": "float16"}
    architecture = architectures.published(family, predicted)
    drafted = entries.draft(family=family, architecture=architecture, **(named | changes))
    return msgspec.structs.replace(drafted, manifest_sha256=MANIFEST)


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """Return a copy of the project's catalogue, with its comments."""
    file = tmp_path / "models.toml"
    file.write_bytes(DEPLOYED.read_bytes())
    return file


@pytest.mark.parametrize(
    ("family", "predicted", "sizes"),
    [
        (Family.SD1, "epsilon", ("512x512", "512x768", "768x512")),
        (Family.SD2, "epsilon", ("512x512", "512x768", "768x512")),
        (Family.SD2, "v_prediction", ("768x768", "768x1024", "1024x768")),
        (Family.SDXL, "epsilon", ("1024x1024", "1152x896", "896x1152")),
    ],
)
def test_bounds_of_each_family(family: Family, predicted: PredictionType, sizes: tuple[str, ...]) -> None:
    """A family's entry has its class and sizes, and loads again as it was written."""
    written = entry(family, predicted)
    assert (written.pipeline, written.sizes) == (family.pipeline, sizes)
    read = msgspec.toml.decode(entries.to_toml(written), type=Catalogue)
    assert read.models == (written,)


@pytest.mark.parametrize("description", ['says "hi" \\ there', "two\nlines\x7f\x01", "Löwe 🙂", "#[[models]]"])
def test_descriptions_are_quoted(description: str) -> None:
    """Any description is written as one valid TOML string."""
    written = entry(description=description, dtype="bfloat16", path="/models/my own")
    read = msgspec.toml.decode(entries.to_toml(written), type=Catalogue)
    assert read.models == (written,)


def test_unusual_size() -> None:
    """A model trained for another size has only that size."""
    architecture = architectures.published(Family.SD1)
    unet = architecture.parts["unet"] | {"sample_size": 32}
    small = msgspec.structs.replace(architecture, parts=architecture.parts | {"unet": unet})
    drafted = entries.draft(
        name="small", path="small", description="", family=Family.SD1, architecture=small, dtype="float32"
    )
    assert (drafted.sizes, drafted.width.maximum, drafted.dtype) == (("256x256",), 256, "float32")


def test_names_that_can_not_be() -> None:
    """An invalid name is refused with the reason."""
    with pytest.raises(CatalogueError, match=r"would be invalid.*name"):
        entry(name="My Model")


def test_entry_is_added_once(catalogue: Path) -> None:
    """The entry is appended once, even if its bounds were edited; comments and file mode are preserved."""
    before = catalogue.read_text()
    catalogue.chmod(0o640)
    assert entries.add(catalogue, entry()) is True
    assert catalogue.read_text().startswith(before.rstrip())
    assert catalogue.stat().st_mode & 0o777 == 0o640
    assert load_catalogue(catalogue).find("mine") == entry()
    catalogue.write_text(catalogue.read_text().replace("max_images = 4", "max_images = 2"))
    assert entries.add(catalogue, entry()) is False
    assert [file.name for file in catalogue.parent.iterdir()] == [catalogue.name]


def test_link_to_a_catalogue(catalogue: Path, tmp_path: Path) -> None:
    """The entry of a linked catalogue is added to the link's target."""
    link = tmp_path / "linked.toml"
    link.symlink_to(catalogue.name)
    assert entries.add(link, entry()) is True
    assert link.is_symlink()
    assert "mine" in load_catalogue(catalogue).names


def test_other_entries_are_left_alone(catalogue: Path) -> None:
    """A name with another folder is refused before the import, and an entry with another manifest after it."""
    with pytest.raises(CatalogueError, match=r"another entry named tiny .* choose another --name"):
        entries.check_addable(catalogue, entry(name="tiny"))
    entries.check_addable(catalogue, entry())
    entries.add(catalogue, entry())
    before = catalogue.read_text()
    entries.check_addable(catalogue, entry())
    with pytest.raises(CatalogueError, match=f'add manifest_sha256 = "{"f" * 64}" to it'):
        entries.add(catalogue, msgspec.structs.replace(entry(), manifest_sha256="f" * 64))
    assert catalogue.read_text() == before


def test_catalogue_that_can_not_be_appended_to(tmp_path: Path) -> None:
    """A catalogue that would be invalid with the entry is not changed."""
    file = tmp_path / "models.toml"
    listed = msgspec.toml.decode(entries.to_toml(entry(name="other")))["models"][0]
    pairs = ", ".join(f"{key} = {_inline(value)}" for key, value in listed.items())
    file.write_text(f"models = [{{ {pairs} }}]\n")
    assert load_catalogue(file).names == ["other"]
    before = file.read_text()
    with pytest.raises(CatalogueError, match="is wrong"):
        entries.add(file, entry())
    assert file.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["models.toml"]


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + " }"
    return msgspec.json.encode(value).decode()
