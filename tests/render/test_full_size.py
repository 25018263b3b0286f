"""The full-size models of the GPU benchmark."""

import torch

from gpu_consumer.tiny.tokenizer import train_tokenizer
from tests.support.full_size import sd15_networks, sdxl_networks


def parameters(network: torch.nn.Module) -> int:
    return sum(weights.numel() for weights in network.parameters())


def test_networks_have_the_published_sizes() -> None:
    """The models have the parameter counts of stable-diffusion-v1-5 and stable-diffusion-xl-base-1.0."""
    tokenizer = train_tokenizer()
    with torch.device("meta"), torch.no_grad():
        sd15, sdxl = sd15_networks(tokenizer), sdxl_networks(tokenizer)
    assert parameters(sd15["unet"]) == 859_520_964
    assert parameters(sdxl["unet"]) == 2_567_463_684
    assert parameters(sd15["vae"]) == parameters(sdxl["vae"]) == 83_653_863
    rows = len(tokenizer) * 768
    assert parameters(sd15["text_encoder"]) - rows == 123_060_480 - 49_408 * 768
    rows = len(tokenizer) * 1280
    assert parameters(sdxl["text_encoder_2"]) - rows == 694_659_840 - 49_408 * 1280
    assert {weights.dtype for weights in sdxl["unet"].parameters()} == {torch.float16}
