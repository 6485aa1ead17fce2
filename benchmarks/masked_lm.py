"""Masked-LM training throughput against transformers' ModernBertForMaskedLM and BertForMaskedLM.

    python benchmarks/masked_lm.py --data reviews.jsonl.gz

Every system trains on the same texts of natural length, with the same tokens, masked share, examples a step, optimiser
and sizes, in turns within one process. What counts is real tokens (padding is not one) a second, collation included.

* `exapt`: length-bucketed batches, padding only inside attention, the vocabulary head on hidden tokens only.
* `… default`: transformers with its usual collator (random batches padded to their longest, all logits).
* `… best`: the same class with everything that transformers offers to be fast here: bfloat16 autocast, batches grouped
  by length, and (ModernBERT) `sparse_prediction`.

The same weights and the same masked batch must give the same loss before anything is timed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from exapt.backbones import Transformer, TransformerSpec
from exapt.batch import pad
from exapt.domains import Dataset, Source, TextDomain, TextSpec, from_arrays
from exapt.integrations.huggingface import export_huggingface
from exapt.objectives.masked import MaskedSpec, MaskedTokens
from exapt.training.batches import Batches

RATIO = 0.3
Clock = Callable[[], float]
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 1e-2}


@dataclass
class Arm:
    """One system: batches for ever, and a step that returns how many real tokens it trained on."""

    name: str
    step: Callable[[], int]
    rates: list[float] = field(default_factory=list)
    """Real tokens a second of each round."""

    def run(self, seconds: float, clock: Clock) -> None:
        """Train for about so long."""
        tokens, start = 0, clock()
        while clock() - start < seconds:
            tokens += self.step()
        self.rates.append(tokens / (clock() - start))


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.cpu_time else time.perf_counter
    domain, data = read(options)
    spec = TransformerSpec(size=options.size)
    shape = spec.shape
    lengths = domain.kept(data) + 2
    print(
        f"{len(data)} texts, {lengths.mean():.0f} tokens on average (median {np.median(lengths):.0f}, at most", end=" "
    )
    print(f"{lengths.max()}), vocabulary {domain.inputs.vocabulary}, {shape}, {options.batch} texts a step")
    check_parity(domain, data, spec)
    arms = [
        ours("exapt float32", domain, data, spec, torch.float32, options.batch),
        ours("exapt bfloat16", domain, data, spec, torch.bfloat16, options.batch),
        *(
            theirs(kind, best, domain, data, spec, options.batch)
            for kind in ("ModernBert", "Bert")
            for best in (False, True)
        ),
        *(theirs(kind, None, domain, data, spec, options.batch) for kind in ("ModernBert", "Bert")),
    ]
    for arm in arms:
        arm.run(options.seconds / 4, clock)
        arm.rates.clear()
    for _ in range(options.rounds):
        for arm in arms:
            arm.run(options.seconds, clock)
    table(arms)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="texts: txt, csv or jsonl(.gz) with a column `text`; none: synthetic ones")
    parser.add_argument("--limit", type=int, default=5000, help="texts to read")
    parser.add_argument("--size", default="micro")
    parser.add_argument("--vocabulary", type=int, default=4096)
    parser.add_argument("--length", type=int, default=512, help="longer texts are cut")
    parser.add_argument("--batch", type=int, default=32, help="texts a step")
    parser.add_argument("--seconds", type=float, default=15, help="of each system in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--cpu-time", action="store_true", help="count processor time: for a busy machine, with one thread"
    )
    return parser.parse_args()


def read(options: argparse.Namespace) -> tuple[TextDomain, Dataset]:
    """The texts and their tokens."""
    source = Source(path=options.data, limit=options.limit) if options.data else from_arrays(synthetic(options.limit))
    spec = TextSpec(vocabulary=options.vocabulary, length=options.length, sample=5_000_000)
    domain = spec.build(source)
    return domain, domain.read(source)


def synthetic(count: int) -> list[str]:
    """Texts of made-up words, Zipf-distributed, with the lengths of reviews (log-normal, median 170 words)."""
    draw = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlucmfwyp"))
    words = np.array(["".join(draw.choice(letters, draw.integers(2, 10))) for _ in range(20_000)])
    chance = 1 / (np.arange(len(words)) + 2.7)
    lengths = np.exp(draw.normal(np.log(170), 0.65, count)).astype(int).clip(10, 1500)
    return [" ".join(draw.choice(words, n, p=chance / chance.sum())) for n in lengths]


# --- exapt ---------------------------------------------------------------------------------------------------


def build(domain: TextDomain, spec: TransformerSpec) -> tuple[Transformer, MaskedTokens]:
    """Our network and objective."""
    backbone = spec.build(domain.inputs, seed=0)
    objective = MaskedSpec(ratio=RATIO).build(domain, backbone, seed=0)
    assert isinstance(objective, MaskedTokens)
    return backbone, objective


def ours(name: str, domain: TextDomain, data: Dataset, spec: TransformerSpec, precision: torch.dtype, size: int) -> Arm:
    """Bucketed batches and the sparse head."""
    backbone, objective = build(domain, spec)
    update = updater(nn.ModuleList([backbone, objective]))
    plan = Batches(data, domain.collate, batch=size, lengths=domain.kept)
    feed, rng = endless(lambda epoch: (plan.load(data, places) for places in plan.plan(epoch))), torch.Generator()

    def step() -> int:
        batch = next(feed)
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            loss = objective(backbone, batch, rng)
        update(loss.value)
        return int(batch.offsets[-1])

    return Arm(name, step)


# --- transformers --------------------------------------------------------------------------------------------


def theirs(kind: str, best: bool | None, domain: TextDomain, data: Dataset, spec: TransformerSpec, size: int) -> Arm:
    """A transformers model with its collator. `best` None: the default, but in bfloat16."""
    model = peer(kind, domain, spec, sparse=bool(best))
    update = updater(model)
    collate = collator(domain)
    rows = [token_row(domain, data, i) for i in range(len(data))]
    plan = Batches(data, domain.collate, batch=size, lengths=domain.kept, bucket=bool(best))
    feed = endless(lambda epoch: (collate([rows[i] for i in places]) for places in plan.plan(epoch)))
    half = best is not False

    def step() -> int:
        batch = next(feed)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = model(**batch).loss
        update(loss)
        return int(batch["attention_mask"].sum())

    return Arm(f"{kind} {'default' if best is False else 'best' if best else 'default in bfloat16'}", step)


def peer(kind: str, domain: TextDomain, spec: TransformerSpec, sparse: bool = False) -> Any:
    """`ModernBertForMaskedLM` or `BertForMaskedLM` of our size; every layer global, no dropout."""
    import transformers

    width, depth, heads, hidden = spec.shape
    shared = {"vocab_size": domain.inputs.vocabulary, "hidden_size": width, "num_hidden_layers": depth}
    shared |= {"num_attention_heads": heads, "pad_token_id": 0, "max_position_embeddings": domain.inputs.length}
    torch.manual_seed(0)
    if kind == "Bert":  # its MLP has two matrices to GeGLU's three: made wider by half, it holds as many weights
        config = transformers.BertConfig(
            **shared, intermediate_size=hidden * 3 // 2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )
        return transformers.BertForMaskedLM(config).train()
    config = transformers.ModernBertConfig(
        **shared,
        intermediate_size=hidden,
        layer_types=["full_attention"] * depth,
        bos_token_id=2,
        cls_token_id=2,
        eos_token_id=3,
        sep_token_id=3,
        sparse_prediction=sparse,
    )
    return transformers.ModernBertForMaskedLM(config).train()


def collator(domain: TextDomain) -> Any:
    """transformers' usual collator over our tokens."""
    from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    words = {f"{name}_token": word for name, word in names.items()}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=domain.tokenizer, **words)
    return DataCollatorForLanguageModeling(tokenizer, mlm_probability=RATIO)


def token_row(domain: TextDomain, data: Dataset, place: int) -> dict[str, list[int]]:
    """One text as transformers' tokenizer would give it."""
    inner = data.store[int(data.rows[place])][: domain.room].tolist()
    special = [1, *[0] * len(inner), 1]
    return {"input_ids": [2, *inner, 3], "attention_mask": [1] * len(special), "special_tokens_mask": special}


# --- shared --------------------------------------------------------------------------------------------------


def updater(model: nn.Module) -> Callable[[Tensor], None]:
    """Backward, clip, AdamW: the same for all."""
    parameters = list(model.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=5e-4, weight_decay=0.01, fused=True)

    def update(loss: Tensor) -> None:
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return update


def endless(epoch_of: Callable[[int], Iterator[Any]]) -> Iterator[Any]:
    """Pass after pass."""
    epoch = 0
    while True:
        yield from epoch_of(epoch)
        epoch += 1


def check_parity(domain: TextDomain, data: Dataset, spec: TransformerSpec) -> None:
    """Our weights in ModernBertForMaskedLM, one masked batch: the losses must agree."""
    import transformers

    backbone, objective = build(domain, spec)
    with TemporaryDirectory() as folder:
        export_huggingface(backbone, folder, objective)
        model = transformers.AutoModelForMaskedLM.from_pretrained(folder).train()
    batch = domain.collate([data[i] for i in range(min(16, len(data)))])
    masked = domain.mask(batch, RATIO, torch.Generator().manual_seed(1))
    ids, real = pad(masked.batch.inputs, batch.offsets)
    labels = torch.full(batch.inputs.shape, -100).index_copy(0, masked.where, masked.target)
    with torch.no_grad():
        reference = float(
            model(ids, attention_mask=real.long(), labels=pad(labels, batch.offsets)[0].where(real, -100)).loss
        )
        for precision, tolerance in TOLERANCE.items():
            with torch.autocast("cpu", precision, enabled=precision != torch.float32):
                loss = float(
                    objective.prediction(backbone, backbone(masked.batch).elements[masked.where], masked.target).value
                )
            print(f"loss parity in {str(precision)[6:]}: ours {loss:.6f}, ModernBertForMaskedLM {reference:.6f}")
            assert abs(loss - reference) <= tolerance, (loss, reference)


def table(arms: list[Arm]) -> None:
    """Medians over rounds, and ours as multiples of each peer's."""
    single, low = (np.array(arm.rates) for arm in arms[:2])
    print(f"\n{'system':<32}{'real tokens/s':>15}{'exapt f32 / it':>16}{'exapt bf16 / it':>17}")
    for arm in arms:
        rates = np.array(arm.rates)
        ratios = f"{np.median(single / rates):>16.2f}{np.median(low / rates):>17.2f}"
        print(f"{arm.name:<32}{np.median(rates):>15,.0f}{ratios}")


if __name__ == "__main__":
    main()
