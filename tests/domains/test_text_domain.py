"""Text: byte-pair tokens and characters."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exapt.domains import Source, TextSpec, from_arrays, load_domain
from exapt.errors import InputError

CORPUS = ["the cat sat on the mat", "the dog sat on the log", "a cat and a dog sat"] * 20
BPE = TextSpec(vocabulary=300, length=12).build(from_arrays(CORPUS))
CHARACTERS = TextSpec(tokens="characters", length=12).build(from_arrays(CORPUS))


def test_golden_ids() -> None:
    """Fixed for ever: a change here makes every saved checkpoint wrong."""
    assert CHARACTERS.alphabet == " acdeghlmnost"
    assert CHARACTERS.encode("a cat!").tolist() == [6, 5, 7, 6, 17, 1]
    assert BPE.inputs.vocabulary == 281, "the corpus yields no more pairs"
    assert [BPE.tokenizer.id_to_token(i) for i in range(5)] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [BPE.tokenizer.id_to_token(i) for i in BPE.encode("the cat sat on a zebra").tolist()]
    assert words == ["the", "Ġcat", "Ġsat", "Ġon", "Ġa", "Ġ", "z", "e", "b", "r", "a"]
    assert BPE.encode("the cat").tolist() == [263, 272]


def test_training_twice_gives_the_same_tokens() -> None:
    again = TextSpec(vocabulary=300, length=12).build(from_arrays(CORPUS))
    assert again.tokenizer.to_str() == BPE.tokenizer.to_str()
    assert again.digest() == BPE.digest()


@given(st.text(max_size=60))
@settings(deadline=None)
def test_bytes_can_write_any_text(text: str) -> None:
    assert BPE.decode(BPE.encode("." + text)) == "." + text


@pytest.mark.parametrize("word", ["[MASK]", "[CLS] [SEP]", "[PAD]", "[UNK]"])
def test_special_words_in_a_text_are_text(word: str, tmp_path: Path) -> None:
    BPE.save(tmp_path)
    for domain in (BPE, load_domain(tmp_path)):
        assert domain.encode(word).min() >= 5
        assert domain.decode(domain.encode(word)) == word


def test_characters_beyond_the_alphabet_are_unknown() -> None:
    ids = CHARACTERS.encode("cat😀é")
    assert ids.tolist()[-2:] == [1, 1]
    assert CHARACTERS.decode(ids) == "cat��"
    small = TextSpec(tokens="characters", vocabulary=300).build(from_arrays(["".join(map(chr, range(200, 900)))]))
    assert small.inputs.vocabulary == 300


def test_lower_case() -> None:
    for tokens in ("bpe", "characters"):
        domain = TextSpec(tokens=tokens, lower=True, vocabulary=300).build(from_arrays(CORPUS))
        assert domain.decode(domain.encode("The CAT")) == "the cat"


def test_collate_puts_ends_and_cuts() -> None:
    dataset = CHARACTERS.read(from_arrays(["cat", "the cat sat on the mat", "a"]))
    batch = CHARACTERS.collate([dataset[i] for i in (0, 1, 2)])
    assert batch.lengths.tolist() == [5, 12, 3]
    assert batch.inputs[:5].tolist() == [2, *CHARACTERS.encode("cat").tolist(), 3]
    assert batch.inputs[5:17].tolist() == [2, *CHARACTERS.encode("the cat sa").tolist(), 3]
    assert batch.index.tolist() == [0, 1, 2]
    assert batch.inputs.dtype == torch.int64
    assert CHARACTERS.truncated(dataset) == 1
    assert CHARACTERS.kept(dataset).tolist() == [3, 10, 1]
    assert len(CHARACTERS.collate([])) == 0


def test_targets_are_packed_with_missing_labels_at_the_ends() -> None:
    dataset = CHARACTERS.read(from_arrays(["cat", "the cat sat on"]))
    whole, real = np.empty(2, dtype=object), np.empty(2, dtype=object)
    whole[:] = [np.arange(3), np.arange(14)]
    real[:] = [np.arange(3.0), np.arange(14.0)]
    labels = {"label": np.array([1, 0]), "many": np.array([[0.5, np.nan], [1, 2]])}
    facts = vars(dataset) | {"targets": labels, "element_targets": {"label": whole, "real": real}}
    batch = CHARACTERS.collate(list(type(dataset)(**facts)))
    assert batch.targets["label"].tolist() == [1, 0]
    assert batch.targets["label"].dtype == torch.int64
    assert batch.targets["many"].shape == (2, 2)
    assert batch.targets["many"].dtype == torch.float32
    assert batch.element_targets["label"].tolist() == [-1, 0, 1, 2, -1, -1, *range(10), -1]
    assert batch.element_targets["real"].isnan().nonzero().squeeze(1).tolist() == [0, 4, 5, 16]
    whole[0] = np.arange(2)
    with pytest.raises(InputError, match="as long as their example"):
        CHARACTERS.collate(list(type(dataset)(**facts)))


def test_the_tokenizer_is_cached_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"text": t}) for t in CORPUS))
    source, cache = Source(path=str(tmp_path / "a.jsonl")), tmp_path / "cache"
    first = TextSpec(vocabulary=300).build(source, cache)
    assert first.tokenizer.to_str() == BPE.tokenizer.to_str()
    monkeypatch.setattr("exapt.domains.bpe.train_text", lambda *_: pytest.fail("trained again"))
    assert TextSpec(vocabulary=300, length=99).build(source, cache).digest() == first.digest()


def test_only_a_sample_is_learnt_from() -> None:
    domain = TextSpec(tokens="characters", sample=10).build(from_arrays(["abcdef", "ghijkl", "mnop"]))
    assert domain.alphabet == "abcdefghij"


def test_no_texts_have_empty_views() -> None:
    views = BPE.views(BPE.collate([]), torch.Generator(), 3)
    assert [len(view) for view in views] == [0, 0, 0]
    assert BPE.augment(batch := BPE.collate([]), torch.Generator()) is batch


def test_fingerprints_find_a_shared_passage() -> None:
    passage = " the dog sat on the log and a cat sat on the mat"
    texts = ["a cat" + passage, "and" + passage + " on a log", "cat dog mat log"]
    prints = [set(BPE.fingerprints(e).tolist()) for e in BPE.read(from_arrays(texts))]
    assert len(prints[0] & prints[1]) >= 4
    assert not prints[2] & (prints[0] | prints[1])
    assert len(prints[2]) == 1, "a short example hashes as a whole"


def test_tfidf_is_learnt_on_the_training_texts_alone() -> None:
    train = BPE.read(from_arrays(["the cat sat", "the dog ran"]))
    first, other = BPE.classical(train, [BPE.read(from_arrays(["the cat sat", "a zebra"]))])
    assert first.shape == (2, 9)
    assert other.shape == (2, 9)
    np.testing.assert_allclose(other[0].toarray(), first[0].toarray(), rtol=1e-6)
    assert other[1].nnz == 0
    signs = BPE.classical(BPE.read(from_arrays(["!!", "??"])))
    assert signs[0].shape[0] == 2, "texts without words have features too"
