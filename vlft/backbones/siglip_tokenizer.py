"""The built-in tokenizer of SigLIP 2 hosts with flexible resolution.

For their model type transformers reads every tokenizer as a ``Siglip2Tokenizer`` (lower case,
blanks as ``▁``, byte fallback), so theirs is one with the words of the generated world.
"""

from tokenizers import processors
from transformers import Siglip2Tokenizer

from vlft.backbones.tokenizer import VOCABULARY_SIZE, WORDS

SPECIAL_TOKENS = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
"""In the order of their ids."""


def siglip2_tokenizer(max_length: int) -> Siglip2Tokenizer:
    """Return a tokenizer with one token for each word of the world that stands behind a blank.

    Merges go through a word from its start, so no word's letters join to parts of another one; all
    other text falls back to letters and bytes. Nothing is trained.

    Args:
        max_length: Tokens that the text tower takes; truncation keeps ``<eos>``.
    """
    merges: dict[str, tuple[str, str]] = {}
    words = [f"▁{word.lower()}" for word in WORDS.read_text(encoding="utf-8").split()]
    for word in words:
        for end in range(2, len(word) + 1):
            merges[word[:end]] = (word[: end - 1], word[end - 1])
    all_bytes = [f"<0x{value:02X}>" for value in range(256)]
    letters = sorted(set("".join(words)))
    tokens = dict.fromkeys([*SPECIAL_TOKENS, *all_bytes, *letters, *merges])
    assert len(tokens) <= VOCABULARY_SIZE, f"{len(tokens)} tokens; shorten {WORDS.name}"
    tokenizer = Siglip2Tokenizer(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=list(merges.values()),  # pyrefly: ignore[bad-argument-type]  # pairs, as it saves them
        model_max_length=max_length,
        padding_side="right",
    )
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", SPECIAL_TOKENS.index("<eos>"))]
    )
    return tokenizer
