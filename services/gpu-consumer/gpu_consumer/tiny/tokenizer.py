"""A CLIP tokenizer trained on a list of words.

CLIP's vocabulary consists of every byte, every byte that ends a word (`</w>`), one entry per merge, and two special
tokens. Without the word-ending bytes, all words with unknown endings would map to the unknown token.

The byte-pair training is implemented here because that of `tokenizers` breaks ties by hash order, so that two builds of
the model would differ.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

MAX_TOKENS = 77
MERGES = 240
END_OF_WORD = "</w>"

WORDS = (
    "a an the of in on at by with under over and two three four red orange yellow green blue violet black white golden "
    "grey circle square triangle star lighthouse mountain river forest city cat dog bird house boat portrait dawn "
    "night fog rain background stars sea sky sun moon light dark photo oil painting watercolour drawing pencil "
    "sketch style detailed colour bright soft small large old new street tree flower water fire snow winter summer"
)

Pair = tuple[str, str]


def train_tokenizer(
    words: Sequence[str] = tuple(WORDS.split()), merge_count: int = MERGES, max_tokens: int = MAX_TOKENS
) -> CLIPTokenizer:
    """Train a tokenizer on a list of words. The result is deterministic."""
    merges = train_merges(words, merge_count)
    alphabet = sorted(ByteLevel.alphabet())
    entries = [*alphabet, *(letter + END_OF_WORD for letter in alphabet), *(left + right for left, right in merges)]
    entries += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {entry: index for index, entry in enumerate(entries)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=max_tokens)


def train_merges(words: Sequence[str], count: int) -> list[Pair]:
    """Return the first `count` byte-pair merges over ASCII words, most frequent first, ties in alphabetical order."""
    spellings = [[*word[:-1], word[-1] + END_OF_WORD] for word in words]
    merges: list[Pair] = []
    while len(merges) < count:
        pairs = Counter(pair for spelling in spellings for pair in pairwise(spelling))
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        spellings = [_merge(spelling, best) for spelling in spellings]
    return merges


def _merge(spelling: list[str], pair: Pair) -> list[str]:
    merged: list[str] = []
    for part in spelling:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return merged
