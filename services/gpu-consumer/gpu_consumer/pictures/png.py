"""Encodes rendered pictures, with what made them inside (contracts/darkroom_contracts/pictures.py).

A PNG carries the common tools' text in a `parameters` chunk and our own in a `darkroom` chunk. A JPEG or WebP has the
former as its EXIF user comment and the latter in its XMP packet: in one EXIF segment, which a JPEG bounds to 64 KiB,
the longest prompts would not fit twice.
"""

from io import BytesIO
from xml.sax.saxutils import escape

from PIL import Image

from darkroom_contracts import pictures
from darkroom_contracts.api import JobInput, OutputFormat
from gpu_consumer.pictures import png_file
from gpu_consumer.protocol import RenderedImage

QUALITY = 95
"""Of JPEG and WebP, of 100."""
EXIF_IFD = 0x8769
USER_COMMENT = 0x9286
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:darkroom="urn:darkroom:picture">'
    "<darkroom:picture>{}</darkroom:picture></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def encode(image: RenderedImage, wanted: JobInput, model: str, origin: pictures.Origin) -> bytes:
    """The picture as a file in `wanted.output_format`. Takes up to tenths of a second: call it in a thread."""
    pixels = Image.frombytes("RGB", (image.width, image.height), image.rgb)
    return _save(pixels, wanted.output_format, pictures.picture_of(model, wanted, image.seed, origin))


def _save(pixels: Image.Image, output_format: OutputFormat, told: pictures.Picture) -> bytes:
    text, exact = pictures.parameters(told), pictures.encode(told)
    if output_format == "png":
        return png_file.write(pixels, {pictures.PARAMETERS_KEYWORD: text, pictures.PICTURE_KEYWORD: exact})
    buffer = BytesIO()
    packet = XMP.format(escape(exact)).encode()
    pixels.save(buffer, output_format, quality=QUALITY, exif=_exif(text), xmp=packet)
    return buffer.getvalue()


def _exif(text: str) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[USER_COMMENT] = b"UNICODE\0" + text.encode("utf-16-be")
    return exif.tobytes()
