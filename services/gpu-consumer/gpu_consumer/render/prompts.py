"""An LRU cache of prompt embeddings, shared by all pictures and jobs with the same prompts."""

from collections import OrderedDict
from typing import Any

import torch
from diffusers import DiffusionPipeline

ENTRIES = 16
"""Size of the cache. One entry of SDXL takes 1.2 MB in float16."""

Embeddings = dict[str, torch.Tensor | None]
"""Embeddings by the names of the pipeline's arguments that take them."""

_NAMES = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
"""The order of SDXL's `encode_prompt`; Stable Diffusion 1.x and 2.x return the first two."""


class PromptCache:
    """The embeddings of one model's most recently used prompts."""

    def __init__(self, model: DiffusionPipeline, entries: int = ENTRIES) -> None:
        self._model = model
        self._entries = entries
        # Such a UNet takes the guidance scale as an input; diffusers then uses no classifier-free guidance.
        self._scale_is_input = model.unet.config.time_cond_proj_dim is not None
        self._known: OrderedDict[tuple[str, str, bool], Embeddings] = OrderedDict()

    def embed(self, prompt: str, negative_prompt: str, guidance_scale: float) -> Embeddings:
        """Return the embeddings for one picture; the pipeline repeats them for a batch.

        An empty negative prompt counts as none, for which SDXL uses zeros instead of the embedding of "".
        """
        guided = guidance_scale > 1 and not self._scale_is_input  # diffusers' own rule
        key = (prompt, negative_prompt if guided else "", guided)
        if key not in self._known:
            self._known[key] = self._encode(*key)
        self._known.move_to_end(key)
        while len(self._known) > self._entries:
            self._known.popitem(last=False)
        return self._known[key]

    @torch.no_grad()
    def _encode(self, prompt: str, negative_prompt: str, guided: bool) -> Embeddings:
        named: dict[str, Any] = {
            "prompt": prompt,
            "device": self._model.device,
            "num_images_per_prompt": 1,
            "do_classifier_free_guidance": guided,
            "negative_prompt": negative_prompt or None,
        }
        return dict(zip(_NAMES, self._model.encode_prompt(**named), strict=False))
