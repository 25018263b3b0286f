"""One warm Stable Diffusion pipeline, one render at a time. Imported by the render process alone."""

import time
import traceback
from collections.abc import Callable
from threading import Event
from typing import Any, Self, cast

import torch
from diffusers import StableDiffusionPipeline

from contracts.api import MAX_SEED, JobInput
from contracts.models import Dtype
from gpu_consumer.render import device as devices
from gpu_consumer.render import protocol, schedulers
from gpu_consumer.render.failures import InputNotRenderableError, NonFiniteOutputError, classify, is_out_of_memory
from gpu_consumer.render.loader import load_pipeline
from gpu_consumer.render.model_folder import ModelFolder

WARMUP_STEPS = 2

OnStep = Callable[[int, int], None]
"""Called after each step with (step, steps), from 1."""


class RenderAborted(Exception):  # noqa: N818 - an order carried out, not an error
    """The render was told to stop.

    diffusers' own `_interrupt` would still run the VAE. Raised from the step callback, this stops at once, and the
    next render is bit-identical to one that follows none.
    """

    def __init__(self, step: int) -> None:
        super().__init__(f"aborted after step {step}")
        self.step = step


class Pipeline:
    """Renders inputs on a loaded model, and turns everything that goes wrong into an outcome."""

    def __init__(self, model: StableDiffusionPipeline, device: protocol.Device) -> None:
        self._model = model
        self._device = device
        self._scheduler_config: dict[str, Any] = dict(model.scheduler.config)

    @classmethod
    def load(cls, folder: ModelFolder, device: protocol.Device) -> Self:
        """Raises ModelRefusedError."""
        return cls(load_pipeline(folder, device), device)

    @property
    def dtype(self) -> Dtype:
        """`float16` or `float32`."""
        return cast(Dtype, str(self._model.dtype).removeprefix("torch."))

    def warm_up(self, scheduler: str, width: int, height: int) -> protocol.Outcome:
        """Render once, so that the first job finds kernels chosen and memory reserved."""
        return self.render(_warmup_input(scheduler, width, height), _ignore_step, Event())

    def render(self, wanted: JobInput, on_step: OnStep, abort: Event) -> protocol.Outcome:
        """Render all pictures of `wanted`. Setting `abort` ends it within one step. Never raises."""
        try:
            return self._render(wanted, on_step, abort)
        except RenderAborted as aborted:
            return protocol.Aborted(aborted.step)
        except Exception as error:
            if not isinstance(error, InputNotRenderableError):
                traceback.print_exc()
            failure = classify(error)
        devices.release_memory()
        return failure

    def _render(self, wanted: JobInput, on_step: OnStep, abort: Event) -> protocol.Rendered:
        started = time.perf_counter()
        self._check(wanted)
        seeds = [(wanted.seed + index) % (MAX_SEED + 1) for index in range(wanted.num_images)]
        progress = _Progress(on_step, abort, devices.StepFence(self._device))
        latents = self._denoise(wanted, seeds, progress)
        images = []
        for seed, latent in zip(seeds, latents.split(1), strict=True):
            progress.stop_if_told()
            rgb = self._decode(latent)
            images.append(protocol.RenderedImage(wanted.width, wanted.height, seed, rgb))
        return protocol.Rendered(
            images=tuple(images),
            batch_size=len(images),
            inference_ms=1000 * (time.perf_counter() - started),
            phases=protocol.Phases(0, 0),
            steps=self._model.num_timesteps,
            peak_memory_bytes=0,
            tiled=False,
        )

    def _check(self, wanted: JobInput) -> None:
        factor = self._model.vae_scale_factor
        if wanted.scheduler not in schedulers.NAMES:
            raise InputNotRenderableError(f"The scheduler {wanted.scheduler!r} is unknown.")
        if wanted.num_inference_steps < 1 or wanted.num_images < 1:
            raise InputNotRenderableError("At least one step and one image are needed.")
        if wanted.width < factor or wanted.height < factor or wanted.width % factor or wanted.height % factor:
            raise InputNotRenderableError(f"Width and height must be multiples of {factor} pixels.")
        if 3 * wanted.width * wanted.height * wanted.num_images > protocol.MAX_PIXEL_BYTES:
            raise InputNotRenderableError("The pictures together are larger than the render process can hand over.")

    def _denoise(self, wanted: JobInput, seeds: list[int], progress: "_Progress") -> torch.Tensor:
        """Latents of all pictures, in one batch.

        Noise is drawn on the CPU, so that a seed means the same on every device. A picture from a batch is bit-equal
        to itself in a batch of the same size; alone it may differ in the last bits, since kernels depend on shapes.
        """
        self._model.scheduler = schedulers.build_scheduler(wanted.scheduler, self._scheduler_config)
        latents: torch.Tensor = self._model(
            prompt=wanted.prompt,
            negative_prompt=wanted.negative_prompt,
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

    def _decode(self, latent: torch.Tensor) -> bytes:
        """One picture's raw RGB; in tiles when memory does not suffice for the whole."""
        try:
            return self._decode_once(latent)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        devices.release_memory()
        self._model.vae.enable_tiling()
        try:
            return self._decode_once(latent)
        finally:
            self._model.vae.disable_tiling()

    @torch.inference_mode()
    def _decode_once(self, latent: torch.Tensor) -> bytes:
        vae = self._model.vae
        pixels = vae.decode(latent / vae.config.scaling_factor, return_dict=False)[0]
        if not torch.isfinite(pixels).all():
            raise NonFiniteOutputError("The model produced numbers that are not finite.")
        # In single precision, as diffusers' own conversion does.
        scaled = (pixels[0].float() * 0.5 + 0.5).clamp(0, 1) * 255
        channels_last = scaled.round().to(torch.uint8).permute(1, 2, 0).contiguous()
        return bytes(channels_last.cpu().numpy().data)


class _Progress:
    """Reports steps and carries out the order to stop."""

    def __init__(self, on_step: OnStep, abort: Event, fence: devices.StepFence) -> None:
        self._on_step = on_step
        self._abort = abort
        self._fence = fence
        self._step = 0

    def on_step_end(
        self, model: StableDiffusionPipeline, index: int, timestep: int, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        self._fence.pass_step()
        self._step = index + 1
        self._on_step(self._step, model.num_timesteps)  # not what was asked for: pndm makes N+1, heun 2N-1
        self.stop_if_told()
        return {}

    def stop_if_told(self) -> None:
        if self._abort.is_set():
            raise RenderAborted(self._step)


def _ignore_step(step: int, steps: int) -> None:
    """Nobody watches the warm-up."""


def _warmup_input(scheduler: str, width: int, height: int) -> JobInput:
    return JobInput(
        prompt="a warm-up",
        negative_prompt="",
        num_inference_steps=WARMUP_STEPS,
        guidance_scale=7.5,
        scheduler=scheduler,
        width=width,
        height=height,
        seed=0,
        num_images=1,
        output_format="png",
    )
