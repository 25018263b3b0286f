"""The training of the UNet together with the text encoder."""

import copy
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from training.shapes import data, networks
from training.shapes.progress import Report
from training.shapes.train_autoencoder import to_tensor

BATCH = 64
LEARNING_RATE = 1e-3
UNCONDITIONAL = 0.1
"""Share of pictures trained without their caption, for classifier-free guidance."""
SNR_CLAMP = 5.0
"""Signal-to-noise ratio above which a timestep's loss weighs less (min-SNR, Hang et al. 2023, arXiv 2303.09556).

The many timesteps with little noise then don't dominate those that determine the content."""
AVERAGE_DECAY = 0.9995
CHECKPOINT_SECONDS = 300.0


class Conditional(nn.Module):
    """Text encoder and UNet as one network, trained together and averaged together."""

    def __init__(self, text_encoder: CLIPTextModel, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.unet = unet

    def forward(self, noisy: torch.Tensor, timesteps: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        states = self.text_encoder(tokens).last_hidden_state
        return self.unet(noisy, timesteps, states).sample  # type: ignore[no-any-return]


def train(
    latents: torch.Tensor, tokenizer: CLIPTokenizer, seconds: float, on_checkpoint: Callable[[Conditional], None]
) -> Conditional:
    """Train for `seconds` on the training pictures' latents, print the progress, and return the averaged networks.

    `on_checkpoint` receives the unfinished average every few minutes and must not change it.
    """
    torch.manual_seed(2)
    tokens = _Tokens(tokenizer)
    scheduler = networks.scheduler()
    model = Conditional(networks.text_encoder(tokenizer), networks.unet()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=1e-2)
    report = Report("denoiser")
    started = saved = time.monotonic()
    step = 0
    while (share := (time.monotonic() - started) / seconds) < 1:
        _schedule(optimizer, share)
        indices = torch.randint(len(latents), (BATCH,))
        loss = _loss(model, scheduler, latents[indices].float(), tokens.pick(indices.tolist()))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        _average(average, model, step)
        report.step(share, loss.item())
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            on_checkpoint(average)
            saved = time.monotonic()
    return average  # type: ignore[no-any-return]


def _loss(model: Conditional, scheduler: DDIMScheduler, latents: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    noise = torch.randn_like(latents)
    timesteps = torch.randint(scheduler.config.num_train_timesteps, (len(latents),))
    noisy = scheduler.add_noise(latents, noise, timesteps)
    target = scheduler.get_velocity(latents, noise, timesteps)
    with torch.autocast("cpu", torch.bfloat16):
        predicted = model(noisy.contiguous(memory_format=torch.channels_last), timesteps, tokens)
    signal = scheduler.alphas_cumprod[timesteps]
    ratio = signal / (1 - signal)
    weights = (SNR_CLAMP / (ratio + 1)).clamp(max=1)
    return ((predicted.float() - target).square().mean(dim=(1, 2, 3)) * weights).mean()  # type: ignore[no-any-return]


def latents_of(folder: Path, vae: AutoencoderKL) -> torch.Tensor:
    """Return the scaled latents of all training pictures in float16, cached in a file per autoencoder."""
    file = folder / "latents.pt"
    if not file.exists():
        torch.save(_encode(vae, data.pictures(folder)), file)
    return torch.load(file, weights_only=True)  # type: ignore[no-any-return]


@torch.inference_mode()
def _encode(vae: AutoencoderKL, pictures: np.ndarray) -> torch.Tensor:
    parts = []
    for first in range(0, len(pictures), 32):
        means = vae.encode(to_tensor(pictures[first : first + 32])).latent_dist.mean
        parts.append((means * vae.config.scaling_factor).half())
    return torch.cat(parts)


class _Tokens:
    """A cache of the training captions' tokens, including those of the empty caption."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, torch.Tensor] = {}
        self._random = random.Random(3)  # noqa: S311 - a training, not a secret

    def pick(self, indices: list[int]) -> torch.Tensor:
        """Return the tokens of a random wording, or of the empty caption, per picture. Shape (n, MAX_TOKENS)."""
        return torch.stack([self._of(self._caption(index)) for index in indices])

    def _caption(self, index: int) -> str:
        if self._random.random() < UNCONDITIONAL:
            return ""
        return self._random.choice(data.scene_of(index).captions)

    def _of(self, caption: str) -> torch.Tensor:
        if caption not in self._known:
            encoded = self._tokenizer(caption, padding="max_length", truncation=True, return_tensors="pt")
            self._known[caption] = encoded.input_ids[0]
        return self._known[caption]


def _schedule(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set the learning rate: a short warm-up, a long plateau, then a cosine decay to zero."""
    decay = 1.0 if share < 0.5 else 0.5 * (1 + np.cos(np.pi * (share - 0.5) / 0.5))
    for group in optimizer.param_groups:
        group["lr"] = float(LEARNING_RATE * min(1.0, share / 0.01) * decay)


@torch.no_grad()
def _average(average: nn.Module, model: nn.Module, step: int) -> None:
    """Update the exponential moving average of the weights, with a shorter memory during the first steps."""
    decay = min(AVERAGE_DECAY, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
