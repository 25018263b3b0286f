"""Prompts as the UNet reads them, encoded once for all pictures and jobs that have them in common."""

from collections import OrderedDict
from typing import Any

import torch
from diffusers import DiffusionPipeline

ENTRIES = 16
"""At SDXL's size one takes 1.2 MB in half precision."""

Embeddings = dict[str, torch.Tensor | None]
"""As the pipeline takes them in place of prompts, by the names of its arguments."""

_NAMES = ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
"""In the order in which SDXL's encode_prompt returns them; Stable Diffusion 1.x and 2.x return the first two."""


class PromptCache:
    """Least recently used prompts of one model, encoded."""

    def __init__(self, model: DiffusionPipeline, entries: int = ENTRIES) -> None:
        self._model = model
        self._entries = entries
        # Such a model is told the guidance as a number and never makes a second, unguided prediction.
        self._guides_itself = model.unet.config.time_cond_proj_dim is not None
        self._known: OrderedDict[tuple[str, str, bool], Embeddings] = OrderedDict()

    def embed(self, prompt: str, negative_prompt: str, guidance_scale: float) -> Embeddings:
        """The prompts' embeddings for one picture; the pipeline repeats them for the others of a batch.

        An empty negative prompt means none. SDXL then guides away from zeros, not from the embedding of "".
        """
        guided = guidance_scale > 1 and not self._guides_itself  # as diffusers counts it
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
