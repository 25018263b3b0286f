"""The training of the autoencoder, and the further training of its decoder alone."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from training.shapes import data, networks
from training.shapes.progress import Report

Indices = np.ndarray[Any, np.dtype[np.int64]]

BATCH = 16
LEARNING_RATE = 7e-4
KL_WEIGHT = 1e-4
"""Weight of the KL divergence per latent element: smooth latents, so that small errors of the UNet stay small."""
EDGE_WEIGHT = 1.0
FIRST_LOG_VARIANCE = -4.0
POLISH_RATE = 5e-4
LATENT_ERROR = 0.1
"""Standard deviation of the noise on scaled latents that the decoder is trained to tolerate, like the UNet's errors."""


def train(folder: Path, seconds: float) -> AutoencoderKL:
    """Train for `seconds`, print the progress, and save the autoencoder under `folder`."""
    torch.manual_seed(1)
    model = networks.autoencoder().to(memory_format=torch.channels_last)
    _reduce_initial_noise(model)
    pictures = data.pictures(folder)

    def loss_of(indices: Indices) -> torch.Tensor:
        return _loss(model, to_tensor(pictures[indices]))

    _descend("autoencoder", [*model.parameters()], LEARNING_RATE, loss_of, len(pictures), seconds)
    _set_scale(model, pictures)
    model.save_pretrained(folder / "vae")
    return model


def polish(folder: Path, model: AutoencoderKL, latents: torch.Tensor, seconds: float) -> None:
    """Train the decoder further for `seconds`, on the fixed latents of the training pictures."""
    torch.manual_seed(4)
    pictures = data.pictures(folder)

    def loss_of(indices: Indices) -> torch.Tensor:
        chosen = latents[torch.from_numpy(indices)].float()
        noisy = (chosen + LATENT_ERROR * torch.randn_like(chosen)) / model.config.scaling_factor
        with torch.autocast("cpu", torch.bfloat16):
            decoded = model.decode(noisy.contiguous(memory_format=torch.channels_last)).sample
        return _picture_loss(decoded.float(), to_tensor(pictures[indices]))

    weights = [*model.decoder.parameters(), *model.post_quant_conv.parameters()]
    _descend("decoder", weights, POLISH_RATE, loss_of, len(pictures), seconds)


def _descend(
    name: str,
    weights: list[torch.nn.Parameter],
    rate: float,
    loss_of: Callable[[Indices], torch.Tensor],
    pictures: int,
    seconds: float,
) -> None:
    """Minimize the loss over random batches of the `pictures` pictures for `seconds`."""
    optimizer = torch.optim.AdamW(weights, lr=rate, betas=(0.9, 0.98), weight_decay=1e-4)
    random = np.random.default_rng(1)
    report = Report(name)
    started = time.monotonic()
    while (share := (time.monotonic() - started) / seconds) < 1:
        _schedule(optimizer, rate, share)
        loss = loss_of(np.sort(random.choice(pictures, BATCH, replace=False)))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        report.step(share, loss.item())


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """Convert bytes (n, height, width, 3) to floats (n, 3, height, width) between -1 and 1."""
    pixels = torch.from_numpy(np.array(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixels.contiguous(memory_format=torch.channels_last)


def _loss(model: AutoencoderKL, batch: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        posterior = model.encode(batch).latent_dist
        decoded = model.decode(posterior.sample()).sample
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    return _picture_loss(decoded.float(), batch) + KL_WEIGHT * divergence  # type: ignore[no-any-return]


def _picture_loss(decoded: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
    """Return the loss of pixels and of edges, which define shapes but are a small share of the pixels."""
    difference = decoded - batch
    edges = difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
    return functional.l1_loss(decoded, batch) + functional.mse_loss(decoded, batch) + EDGE_WEIGHT * edges


def _schedule(optimizer: torch.optim.Optimizer, peak: float, share: float) -> None:
    """Set the learning rate: a short warm-up, then a cosine decay to zero."""
    rate = peak * min(1.0, share / 0.02) * 0.5 * (1 + np.cos(np.pi * share))
    for group in optimizer.param_groups:
        group["lr"] = float(rate)


@torch.no_grad()
def _reduce_initial_noise(model: AutoencoderKL) -> None:
    """Start with little noise on the latents, so that the first gradients carry a signal."""
    model.quant_conv.bias[networks.LATENT_CHANNELS :] = FIRST_LOG_VARIANCE


@torch.inference_mode()
def _set_scale(model: AutoencoderKL, pictures: np.ndarray) -> None:
    """Set the scaling factor, so that scaled latents have the standard deviation 1 that the noise schedule expects."""
    sample = to_tensor(pictures[:: max(1, len(pictures) // 256)])
    model.register_to_config(scaling_factor=float(1 / model.encode(sample).latent_dist.mean.std()))
