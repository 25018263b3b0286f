"""Trains the autoencoder: pictures to latents and back."""

import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn import functional

from training.shapes import data, networks
from training.shapes.progress import Report

BATCH = 16
LEARNING_RATE = 7e-4
KL_WEIGHT = 1e-4
"""Per latent number. Enough to keep the latents smooth, so that small errors of the UNet stay small in the picture."""
EDGE_WEIGHT = 1.0
FIRST_LOG_VARIANCE = -4.0


def train(folder: Path, seconds: float) -> AutoencoderKL:
    """Train for so long, print how it goes, and save the autoencoder under `folder`."""
    torch.manual_seed(1)
    model = networks.autoencoder().to(memory_format=torch.channels_last)
    _begin_quietly(model)
    pictures = data.pictures(folder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=1e-4)
    random = np.random.default_rng(1)
    report = Report("autoencoder")
    started = time.monotonic()
    while (share := (time.monotonic() - started) / seconds) < 1:
        _schedule(optimizer, share)
        batch = to_tensor(pictures[np.sort(random.choice(len(pictures), BATCH, replace=False))])
        loss = _loss(model, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        report.step(share, loss.item())
    _set_scale(model, pictures)
    model.save_pretrained(folder / "vae")
    return model


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """(n, height, width, 3) bytes as (n, 3, height, width) between -1 and 1."""
    pixels = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixels.contiguous(memory_format=torch.channels_last)


def _loss(model: AutoencoderKL, batch: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        posterior = model.encode(batch).latent_dist
        decoded = model.decode(posterior.sample()).sample
    decoded = decoded.float()
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    error = functional.l1_loss(decoded, batch) + functional.mse_loss(decoded, batch)
    return error + EDGE_WEIGHT * _edge_loss(decoded, batch) + KL_WEIGHT * divergence  # type: ignore[no-any-return]


def _edge_loss(decoded: torch.Tensor, batch: torch.Tensor) -> torch.Tensor:
    """The eye judges shapes by their edges, which are few pixels among many."""
    difference = decoded - batch
    return difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()


def _schedule(optimizer: torch.optim.Optimizer, share: float) -> None:
    """A short warm-up, then a cosine down to nothing."""
    rate = LEARNING_RATE * min(1.0, share / 0.02) * 0.5 * (1 + np.cos(np.pi * share))
    for group in optimizer.param_groups:
        group["lr"] = float(rate)


@torch.no_grad()
def _begin_quietly(model: AutoencoderKL) -> None:
    """Little noise on the latents at first, so that there is something to learn from."""
    model.quant_conv.bias[networks.LATENT_CHANNELS :] = FIRST_LOG_VARIANCE


@torch.inference_mode()
def _set_scale(model: AutoencoderKL, pictures: np.ndarray) -> None:
    """Latents times this have a standard deviation of 1, which the noise schedule expects."""
    sample = to_tensor(pictures[:: max(1, len(pictures) // 256)])
    model.register_to_config(scaling_factor=float(1 / model.encode(sample).latent_dist.mean.std()))
