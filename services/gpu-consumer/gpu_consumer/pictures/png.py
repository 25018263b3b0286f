"""Encodes rendered pictures with their provenance inside (contracts/darkroom_contracts/pictures.py).

A PNG has the common tools' text in a `parameters` chunk and Darkroom's own in a `darkroom` chunk. A JPEG or WebP has
the former as its EXIF user comment and the latter in its XMP packet: a JPEG bounds an EXIF segment to 64 KiB, in which
the longest prompts do not fit twice.
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
    """Encode a picture in `wanted.output_format`. Takes up to tenths of a second: call it in a thread."""
    pixels = Image.frombytes("RGB", (image.width, image.height), image.rgb)
    return _save(pixels, wanted.output_format, pictures.picture_of(model, wanted, image.seed, origin))


def _save(pixels: Image.Image, output_format: OutputFormat, provenance: pictures.Picture) -> bytes:
    text, exact = pictures.parameters(provenance), pictures.encode(provenance)
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
