"""A loaded Stable Diffusion pipeline that renders one request at a time."""

import functools
import math
import sys
import time
from threading import Event
from typing import Any, Self, cast

import msgspec
import torch
from diffusers import DiffusionPipeline

from darkroom_contracts.api import MAX_SEED, JobInput
from darkroom_contracts.errors import JobErrorCode
from darkroom_contracts.models import Dtype
from gpu_consumer import protocol
from gpu_consumer.models.model_folder import ModelFolder
from gpu_consumer.render import decoding, execution, memory, safety, schedulers
from gpu_consumer.render.batches import Batches
from gpu_consumer.render.decoder import Decoder
from gpu_consumer.render.device import StepFence
from gpu_consumer.render.economy import Economy
from gpu_consumer.render.engines import Engines
from gpu_consumer.render.failures import InputNotRenderableError, classify, is_out_of_memory, traceback_of
from gpu_consumer.render.loader import load_pipeline
from gpu_consumer.render.previews import PreviewMap, Previews
from gpu_consumer.render.progress import Progress, RenderAborted, Report
from gpu_consumer.render.prompts import PromptCache


class Pipeline:
    """A loaded model that renders job inputs and turns every exception into an outcome."""

    def __init__(self, model: DiffusionPipeline, load: protocol.Load, device_name: str) -> None:
        self._model = model
        self._device = load.device
        self._device_name = device_name
        self._prompts = PromptCache(model)
        self._scheduler_config: dict[str, Any] = dict(model.scheduler.config)
        self.engines = Engines(model, load)
        self._batches = Batches(load.device, compiled=load.compile)
        self.execution = execution.describe(model, load)
        self._decoder = Decoder(model, self.engines)

    @classmethod
    def load(cls, folder: ModelFolder, load: protocol.Load, device_name: str = "cpu") -> Self:
        """Load the folder's model onto the device. Raises ModelRefusedError."""
        return cls(load_pipeline(folder, load.device, load.dtype), load, device_name)

    @property
    def dtype(self) -> Dtype:
        """Dtype of the weights."""
        return _name(self._model.dtype)

    @functools.cached_property
    def preview_map(self) -> PreviewMap:
        """The latents-to-RGB map, fitted at its first use, which is the warm-up."""
        return PreviewMap.fit(self._model)

    def render(self, request: protocol.RenderRequest, report: Report, abort: Event) -> protocol.Outcome:
        """Render all pictures of the request and return the outcome. Never raises.

        `report` receives each step, preview and picture. Setting `abort` ends the render within one step.
        """
        wanted = request.input
        economy, prompts = Economy(wanted.num_images, tiled=False), (wanted.prompt, wanted.negative_prompt)
        try:
            return self._render(request, economy, report, abort)
        except RenderAborted as aborted:
            return protocol.Aborted(aborted.step)
        except Exception as error:
            if not isinstance(error, InputNotRenderableError):
                print(traceback_of(error, prompts), file=sys.stderr, flush=True)  # noqa: T201 - goes to the log
            failure = classify(error, prompts)
        if failure.kind is not protocol.FailureKind.FATAL:  # on a lost device, freeing memory raises
            memory.release()
        if failure.code is JobErrorCode.OUT_OF_MEMORY:
            return msgspec.structs.replace(failure, message=self._did_not_fit(wanted, economy))
        return failure

    def _render(
        self, request: protocol.RenderRequest, economy: Economy, report: Report, abort: Event
    ) -> protocol.Rendered:
        wanted = request.input
        started = time.perf_counter()
        memory.reset_peak(self._device)
        self._check(wanted)
        previews = Previews(self.preview_map, wanted.preview_every) if wanted.preview_every else None
        progress = Progress(report, abort, StepFence(self._device), previews)
        progress.raise_if_aborted()
        latents = self._denoise_all(request, economy, progress, previews)
        denoised = time.perf_counter()
        dtypes = self._decode_all(request, economy, latents, progress, report)
        finished = time.perf_counter()
        return protocol.Rendered(
            batch_size=max(len(batch) for batch in latents),
            inference_ms=1000 * (finished - started),
            phases=protocol.Phases(denoised - started, finished - denoised),
            steps=progress.steps,
            peak_memory_bytes=memory.peak(self._device),
            tiled=economy.tiled,
            vae_dtype=_name(max(dtypes, key=lambda dtype: dtype.itemsize)),
        )

    def _check(self, wanted: JobInput) -> None:
        factor = self._model.vae_scale_factor
        most = self._scheduler_config.get("num_train_timesteps", 1000)
        if wanted.scheduler not in schedulers.NAMES:
            raise InputNotRenderableError(f"Unknown scheduler {wanted.scheduler!r}.")
        if wanted.num_images < 1 or not 1 <= wanted.num_inference_steps <= most:
            raise InputNotRenderableError(
                f"num_images must be at least 1, and num_inference_steps between 1 and {most}."
            )
        if wanted.width < factor or wanted.height < factor or wanted.width % factor or wanted.height % factor:
            raise InputNotRenderableError(f"Width and height must be multiples of {factor} pixels.")
        if 3 * wanted.width * wanted.height > protocol.MAX_PIXEL_BYTES:
            raise InputNotRenderableError(
                "The picture is too large for one frame of the render process; ask for a smaller size."
            )

    def _denoise_all(
        self, request: protocol.RenderRequest, economy: Economy, progress: Progress, previews: Previews | None
    ) -> list[torch.Tensor]:
        """Denoise all pictures in as few batches as fit in memory, and return one tensor of latents per batch."""
        wanted, latents = request.input, []
        left = _seeds(wanted)
        while left:
            economy.batch = 1 if request.frugal else self._batches.choose(_size(wanted), len(left))
            progress.begin_batch(math.ceil(len(left) / economy.batch))
            batch = self._denoise_if_it_fits(wanted, left[: economy.batch], progress, previews)
            if batch is None:
                memory.release()
                self._batches.did_not_fit(_size(wanted), economy.batch)
                continue
            latents.append(batch)
            left = left[economy.batch :]
        return latents

    def _denoise_if_it_fits(
        self, wanted: JobInput, seeds: list[int], progress: Progress, previews: Previews | None
    ) -> torch.Tensor | None:
        """Denoise a batch; return None if several pictures ran out of memory. One picture raises."""
        try:
            latents = self._denoise(wanted, seeds, progress, previews)
            progress.end_batch()
        except Exception as error:
            if len(seeds) == 1 or not is_out_of_memory(error):
                raise
            return None
        return latents

    def _denoise(
        self, wanted: JobInput, seeds: list[int], progress: Progress, previews: Previews | None
    ) -> torch.Tensor:
        """Denoise one batch and return its latents.

        Noise is drawn on the CPU, for each picture from its own seed, so that a seed means the same on every device
        and in every batch. On a GPU, a picture can differ in the last bits between batch sizes, since kernels depend on
        shapes.
        """
        scheduler = schedulers.build_scheduler(wanted.scheduler, self._scheduler_config, wanted.num_inference_steps)
        if previews is not None:
            previews.watch(scheduler)
        self._model.scheduler = scheduler
        self.engines.prepare_denoise(_size(wanted), wanted.guidance_scale)
        latents: torch.Tensor = self._model(
            **self._prompts.embed(wanted.prompt, wanted.negative_prompt, wanted.guidance_scale),
            num_inference_steps=wanted.num_inference_steps,
            guidance_scale=wanted.guidance_scale,
            width=wanted.width,
            height=wanted.height,
            num_images_per_prompt=len(seeds),
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
            callback_on_step_end=progress.on_step_end,
            output_type="latent",
        ).images
        return latents

    def _decode_all(
        self,
        request: protocol.RenderRequest,
        economy: Economy,
        batches: list[torch.Tensor],
        progress: Progress,
        report: Report,
    ) -> list[torch.dtype]:
        """Decode, check and report each picture; return the dtype that each was decoded in."""
        wanted, dtypes = request.input, []
        self._decoder.begin(_size(wanted), economy, frugal=request.frugal)
        latents = [(latent, len(batch)) for batch in batches for latent in batch.split(1)]
        for index, (seed, (latent, batch_size)) in enumerate(zip(_seeds(wanted), latents, strict=True)):
            progress.raise_if_aborted()
            decoded = self._decoder.decode(_size(wanted), latent, economy)
            safety.check(self._model, decoded.pixels, seed)
            picture = protocol.Picture(
                index=index,
                image=protocol.RenderedImage(wanted.width, wanted.height, seed, decoding.to_rgb(decoded.pixels)),
                batch_size=batch_size,
                tiled=economy.tiled,
                vae_dtype=_name(decoded.dtype),
            )
            report(picture)
            dtypes.append(decoded.dtype)
        return dtypes

    def _did_not_fit(self, wanted: JobInput, economy: Economy) -> str:
        pictures = "1 picture" if wanted.num_images == 1 else f"{wanted.num_images} pictures"
        alone = ", one at a time" if economy.batch == 1 < wanted.num_images else ""
        tiles = ", decoded in tiles" if economy.tiled else ""
        place = self._device_name if self._device == "cuda" else "this machine"
        room = memory.total(self._device) / memory.GIBIBYTE
        return (
            f"{wanted.width}x{wanted.height}, {pictures}{alone}{tiles}, did not fit in the {room:.1f} GiB of {place}."
        )


def _size(wanted: JobInput) -> protocol.Size:
    return protocol.Size(wanted.width, wanted.height)


def _name(dtype: torch.dtype) -> Dtype:
    return cast(Dtype, str(dtype).removeprefix("torch."))


def _seeds(wanted: JobInput) -> list[int]:
    return [(wanted.seed + index) % (MAX_SEED + 1) for index in range(wanted.num_images)]
