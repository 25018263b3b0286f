import random
from io import BytesIO
from typing import get_args

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from darkroom.errors import NotVerifiableError
from darkroom.picture_files import MAX_FILE_BYTES, Difference, compare, read
from darkroom_contracts import pictures
from darkroom_contracts.api import OutputFormat
from darkroom_contracts.pictures import picture_of
from tests.unit.client.picture_files import ORIGIN, picture_file, wanted, with_a_pixel_changed

FORMATS = get_args(OutputFormat)


def saved_again(data: bytes, **texts: str) -> bytes:
    """Return the pixels alone as a PNG, with these texts."""
    buffer, chunks = BytesIO(), PngInfo()
    for keyword, text in texts.items():
        chunks.add_itxt(keyword, text)
    with Image.open(BytesIO(data)) as image:
        image.save(buffer, "png", pnginfo=chunks)
    return buffer.getvalue()


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("prompt", ["a cat", "ein Kätzchen\n🙂 東京 </darkroom:picture> &lt;", "\x01\x7f\ufffe"])
def test_every_format_holds_its_parameters(output_format: OutputFormat, prompt: str) -> None:
    """The parameters that the worker writes into a picture are read unchanged, in every format."""
    made_by = wanted(prompt=prompt, negative_prompt=prompt, seed=2**32 - 1, output_format=output_format)
    data = picture_file(prompt=prompt, negative_prompt=prompt, seed=2**32 - 1, output_format=output_format)
    assert read(data) == picture_of("tiny", made_by, made_by.seed, ORIGIN)


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
def test_the_longest_prompts_are_read(output_format: OutputFormat) -> None:
    """The longest prompts are read completely."""
    longest = "\x01" * 4000
    assert (
        read(picture_file(prompt=longest, negative_prompt=longest, output_format=output_format)).input.prompt == longest
    )


def test_the_common_parameters_suffice() -> None:
    """A picture without its exact record is read from the parameters that common tools keep."""
    data = picture_file(prompt="a cat")
    picture = read(data)
    common = saved_again(data, parameters=pictures.parameters(picture))
    assert (read(common).input, read(common).origin) == (picture.input, None)


def test_a_picture_without_parameters_is_refused() -> None:
    """A picture without parameters is refused."""
    with pytest.raises(NotVerifiableError, match="holds no parameters"):
        read(saved_again(picture_file()))


def test_a_broken_record_is_refused() -> None:
    """An incomplete record is refused."""
    with pytest.raises(NotVerifiableError, match="can't be read"):
        read(saved_again(picture_file(), darkroom='{"type":'))


def test_a_cropped_picture_is_refused() -> None:
    """A picture whose size differs from its parameters was altered."""
    data = picture_file()
    other = picture_file(width=24)
    record = pictures.encode(read_record(other))
    with pytest.raises(NotVerifiableError, match="was altered: it was rendered at 24x8 pixels and now has 16x8"):
        read(saved_again(data, darkroom=record))


def read_record(data: bytes) -> pictures.Picture:
    with Image.open(BytesIO(data)) as image:
        return pictures.decode(image.info["darkroom"])


@pytest.mark.parametrize("data", [b"", b"no picture", b"GIF89a\x01\x00\x01\x00\x00\x00\x00;"])
def test_other_files_are_refused(data: bytes) -> None:
    """A file that is not a PNG, JPEG or WebP picture is refused."""
    with pytest.raises(NotVerifiableError, match="not a PNG, JPEG or WebP"):
        read(data)


def test_large_files_are_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file above the limit is refused before it is opened."""
    monkeypatch.setattr("darkroom.picture_files.MAX_FILE_BYTES", 10)
    assert MAX_FILE_BYTES > 10
    with pytest.raises(NotVerifiableError, match="larger than"):
        read(picture_file())


def test_decompression_bombs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file with too many pixels is refused before it is decompressed."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(NotVerifiableError, match="damaged"):
        read(picture_file())


@pytest.mark.parametrize("output_format", FORMATS)
def test_damage_never_crashes_the_reader(output_format: OutputFormat) -> None:
    """A picture with changed or missing bytes is read, or refused in one sentence."""
    whole = picture_file(prompt="a cat", output_format=output_format)
    chance = random.Random(7)
    refused = 0
    for _ in range(400):
        try:
            read(damaged(whole, chance))
        except NotVerifiableError:
            refused += 1
    assert refused > 100


def damaged(whole: bytes, chance: random.Random) -> bytes:
    """Return the picture with a few bytes changed, and sometimes without its end."""
    cut = chance.randrange(1, len(whole)) if chance.random() < 0.3 else len(whole)
    data = bytearray(whole[:cut])
    for _ in range(chance.randrange(1, 6)):
        data[chance.randrange(cut)] = chance.randrange(256)
    return bytes(data)


@pytest.mark.parametrize(("by", "largest"), [(1, 1), (128, 128)])
def test_a_changed_pixel_is_found(by: int, largest: int) -> None:
    """One pixel that differs in one channel is counted, and its difference measured."""
    assert compare(picture_file(), picture_file(with_a_pixel_changed(by=by))) == Difference(128, 1, largest)


def test_equal_pixels_do_not_differ() -> None:
    """Files with the same pixels and different parameters do not differ."""
    assert compare(picture_file(), picture_file(prompt="another")) == Difference(128, 0, 0)


def test_pictures_of_two_sizes_are_not_compared() -> None:
    """Pictures of different sizes are refused."""
    with pytest.raises(NotVerifiableError, match="another size"):
        compare(picture_file(), small())


def small() -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "png")
    return buffer.getvalue()
