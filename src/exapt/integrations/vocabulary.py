"""A domain's tokens as a Hugging Face tokenizer that gives the same ids."""

from __future__ import annotations

import string
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exapt.domains.bpe import SPECIAL_WORDS
from exapt.domains.dna import WORD, DnaDomain
from exapt.domains.text import TextDomain
from exapt.domains.tokens import PLAIN, SPECIAL, TokenDomain
from exapt.errors import InputError
from exapt.files import write_json, write_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ROLES = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL_WORDS, strict=True))


def write_tokenizer(domain: TokenDomain, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json, which `AutoTokenizer.from_pretrained(folder)` opens."""
    write_text(folder / "tokenizer.json", tokenizer_of(domain).to_str(pretty=True))
    described: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": domain.inputs.length}
    write_json(folder / "tokenizer_config.json", described | {"clean_up_tokenization_spaces": False} | ROLES)


def tokenizer_of(domain: TokenDomain) -> Tokenizer:
    """A tokenizer that gives a text or sequence the ids that the domain's `encode` gives it, ends included."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise InputError("a tokenizer needs `pip install exapt[text]`") from None
    tokenizer = Tokenizer.from_str(domain.tokenizer.to_str()) if domain.tokenizer else _words(domain)
    _spell_as(domain, tokenizer)
    if domain.ends:
        tokenizer.post_processor = _ends()
    return tokenizer


def _words(domain: TokenDomain) -> Tokenizer:
    """One word an id: single characters, or k-mers side by side and then single bases."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

    words = [*SPECIAL_WORDS, *(domain.decode(np.array([i])) for i in range(PLAIN, domain.inputs.vocabulary))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=SPECIAL_WORDS[1]))
    longest = max(len(word) for word in words[PLAIN:])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(rf"[\s\S]{{{longest}}}|[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in SPECIAL_WORDS])
    return tokenizer


def _spell_as(domain: TokenDomain, tokenizer: Tokenizer) -> None:
    """Write what comes in as the domain does: lower case, or upper-case letters and T for U."""
    from tokenizers import Regex, normalizers, pre_tokenizers

    if isinstance(domain, TextDomain):
        if domain.spec.lower:
            tokenizer.normalizer = normalizers.Lowercase()
        return
    changes = [(letter, _spelled(domain, letter)) for letter in string.ascii_letters]
    replaced = [normalizers.Replace(letter, spelled) for letter, spelled in changes if spelled not in (letter, None)]
    tokenizer.normalizer = normalizers.Sequence([normalizers.Strip(), *replaced])
    if isinstance(domain, DnaDomain) and domain.tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(rf"[\s\S]{{1,{WORD}}}"), "isolated")


def _spelled(domain: TokenDomain, letter: str) -> str | None:
    """How a domain writes a letter; None for one that it does not know."""
    try:
        ids = domain.encode(letter)
    except InputError:
        return None
    return domain.decode(ids) if (ids >= PLAIN).all() else None


def _ends() -> Any:
    """The start and end token around every example."""
    from tokenizers import processors

    start, end = SPECIAL_WORDS[SPECIAL["start"]], SPECIAL_WORDS[SPECIAL["end"]]
    return processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} $B:1 {end}:1",
        special_tokens=[(start, SPECIAL["start"]), (end, SPECIAL["end"])],
    )
