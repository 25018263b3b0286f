"""Encodes rendered pictures, with the parameters that made them inside.

The text has the form that the common Stable Diffusion tools write and read: in a `parameters` chunk of a PNG, in the
EXIF user comment of a JPEG or WebP.
"""

from io import BytesIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from contracts.api import JobInput, OutputFormat
from gpu_consumer.render.protocol import RenderedImage

PNG_LEVEL = 1
"""zlib's level: 1 takes a third of level 6's time at 512x512."""
QUALITY = 95
"""Of JPEG and WebP, of 100."""
EXIF_IFD = 0x8769
USER_COMMENT = 0x9286


def encode(image: RenderedImage, wanted: JobInput, model: str) -> bytes:
    """The picture as a file in `wanted.output_format`. Takes up to tenths of a second: call it in a thread."""
    picture = Image.frombytes("RGB", (image.width, image.height), image.rgb)
    text = parameters(wanted, image.seed, model)
    return _save(picture, wanted.output_format, text)


def parameters(wanted: JobInput, seed: int, model: str) -> str:
    """Prompt, negative prompt and settings of one picture, `seed` being its own."""
    settings = {
        "Steps": wanted.num_inference_steps,
        "Sampler": wanted.scheduler,
        "CFG scale": f"{wanted.guidance_scale:g}",
        "Seed": seed,
        "Size": f"{wanted.width}x{wanted.height}",
        "Model": model,
    }
    lines = [wanted.prompt]
    if wanted.negative_prompt:
        lines.append(f"Negative prompt: {wanted.negative_prompt}")
    lines.append(", ".join(f"{name}: {value}" for name, value in settings.items()))
    return "\n".join(lines)


def _save(picture: Image.Image, output_format: OutputFormat, text: str) -> bytes:
    buffer = BytesIO()
    if output_format == "png":
        chunks = PngInfo()
        chunks.add_text("parameters", text)
        picture.save(buffer, "png", compress_level=PNG_LEVEL, pnginfo=chunks)
    else:
        picture.save(buffer, output_format, quality=QUALITY, exif=_exif(text))
    return buffer.getvalue()


def _exif(text: str) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(EXIF_IFD)[USER_COMMENT] = b"UNICODE\0" + text.encode("utf-16-be")
    return exif.tobytes()
