"""The models that are measured, and the variants of running them."""

import msgspec

from bench.measures import NEGATIVE_PROMPT, PROMPT
from darkroom_contracts.api import JobInput
from darkroom_contracts.models import PipelineClass
from gpu_consumer.protocol import Device, Load, Size

SCHEDULER = "dpmpp_2m_karras"
GUIDANCE = 7.5
SEED = 7


class Subject(msgspec.Struct, frozen=True):
    """A model at one size."""

    name: str
    """Name for `bench.gpu.models`."""
    title: str
    pipeline: PipelineClass
    side: int
    """Width and height in pixels."""
    steps: int

    def job(self) -> JobInput:
        """Return the job whose pixels are compared."""
        return JobInput(
            prompt=PROMPT,
            negative_prompt=NEGATIVE_PROMPT,
            num_inference_steps=self.steps,
            guidance_scale=GUIDANCE,
            scheduler=SCHEDULER,
            width=self.side,
            height=self.side,
            seed=SEED,
            num_images=1,
            output_format="png",
        )


class Variant(msgspec.Struct, frozen=True):
    """Options of running a model."""

    name: str
    channels_last: bool = False
    compile: bool = False
    cuda_graphs: bool = False
    compared_with: str | None = None
    """The variant whose pixels it must reproduce."""

    @property
    def needs_cuda(self) -> bool:
        """Whether it is measured on CUDA alone. Compiling for a CPU is possible, but not comparable."""
        return self.compile or self.cuda_graphs


PLAIN, CHANNELS_LAST = "plain", "channels_last"
VARIANTS = (
    Variant(PLAIN),
    Variant("cuda_graphs", cuda_graphs=True, compared_with=PLAIN),
    Variant(CHANNELS_LAST, channels_last=True),
    Variant("channels_last, cuda_graphs", channels_last=True, cuda_graphs=True, compared_with=CHANNELS_LAST),
    Variant("compiled", compile=True),
)
FULL = (
    Subject("sd15", "Stable Diffusion 1.5", "StableDiffusionPipeline", 512, 20),
    Subject("sdxl", "SDXL", "StableDiffusionXLPipeline", 1024, 20),
)
TINY = (
    Subject("tiny", "Stable Diffusion, tiny", "StableDiffusionPipeline", 64, 4),
    Subject("tiny-sdxl", "SDXL, tiny", "StableDiffusionXLPipeline", 64, 4),
)


def in_order(subjects: tuple[Subject, ...]) -> list[tuple[Subject, Variant]]:
    """Return every variant of every model, the slowest variants last."""
    pairs = [(subject, variant) for subject in subjects for variant in VARIANTS]
    return sorted(pairs, key=lambda pair: pair[1].compile)


def load_of(subject: Subject, variant: Variant, folder: str, device: Device) -> Load:
    """Return the load message for a render process."""
    return Load(
        folder=folder,
        pipeline=subject.pipeline,
        manifest_sha256=None,
        device=device,
        dtype="float16" if device == "cuda" else "float32",
        safety_checker=False,
        scheduler=SCHEDULER,
        guidance_scale=GUIDANCE,
        sizes=(Size(subject.side, subject.side),),
        channels_last=variant.channels_last,
        compile=variant.compile,
        cuda_graphs=variant.cuda_graphs,
        cpu_threads=1,
    )
