"""Every way of adapting, over a convnet: it works, or it says why not."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from adapt_standins import RICH, halves, pictures

from exapt.adaptation import FinetuneSpec, LoraSpec, ProbeSpec, Start, Supervised, fit, load_fitted
from exapt.adaptation.features import embed, embed_elements
from exapt.adaptation.fisher import fisher
from exapt.adaptation.pruning import PruneSpec, prunable, two_of_four
from exapt.backbones import ConvNetSpec
from exapt.domains import ImageSpec, from_arrays
from exapt.errors import InputError
from exapt.integrations.huggingface import export_huggingface
from exapt.objectives import MaskedSpec
from exapt.tasks import TagSpec

QUICK = {"min_steps": 8, "max_steps": 8, "batch": 8, "evaluations": 2, "rates": [0.02]}


def convnet(n: int = 40, norm: str = "group", depth: int = 1):
    """(start, task, data set) of bright halves; every weight drawn, also those that start at zero."""
    start, task, data = pictures(n)
    spec = ConvNetSpec(width=8, stages=2, depth=depth, norm=norm)  # type: ignore[arg-type]
    backbone = spec.build(start.domain.inputs, seed=0)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in backbone.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=rng))
    return Start(start.domain, backbone), task, data


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize(
    "options",
    [{}, {"last": 1, "layer_decay": 0.5}, {"anchor": "l2sp"}, {"prune": {"sparsity": 0.5}}],
    ids=str,
)
def test_it_is_tuned_saved_and_read_back(options: dict, norm: str, tmp_path: Path) -> None:
    start, task, data = convnet(norm=norm)
    train, valid, test = halves(data)
    fitted = fit(FinetuneSpec(**(QUICK | options)), start, task, train, valid, seed=0)
    before = start.network("finetune").state_dict()
    moved = [name for name, p in fitted.backbone().state_dict().items() if not torch.equal(p, before[name])]
    assert moved
    if "last" in options:
        assert {name.split(".")[0] for name in moved} <= {"layers", "final_norm"}
        assert not any(name.startswith("layers.0") for name in moved)
    if "prune" in options:
        weights = prunable(fitted.backbone())
        assert sum(int((w == 0).sum()) for w in weights.values()) >= 0.5 * sum(w.numel() for w in weights.values())
    fitted.save(tmp_path / "fit")
    assert torch.equal(load_fitted(tmp_path / "fit").outputs(test), fitted.outputs(test))


@pytest.mark.parametrize("how", ["exact", "sampled", "empirical"])
def test_fisher_in_one_pass_is_example_by_example(how) -> None:
    start, task, data = convnet(9, depth=2)
    head = task.head(start.network("fisher").width, 0)
    with torch.no_grad():
        for p in head.parameters():
            p.normal_(generator=torch.Generator().manual_seed(1))
    backbone, supervised = start.network("fisher"), Supervised(head, task)
    named = dict(backbone.named_parameters())
    batch = start.domain.collate([data[i] for i in range(9)])

    def guess(some, rng):
        return supervised.guess(backbone, some, rng)

    found = fisher(guess, [backbone, supervised], named, [batch], how=how, seed=3)
    assert not found.one_by_one
    if how == "sampled":
        return  # other draws; the two ways are compared on the same ones below
    wanted = {name: torch.zeros_like(p) for name, p in named.items()}
    for example in range(9):
        alone = fisher(guess, [backbone, supervised], named, [batch.select([example])], how=how, seed=3)
        for name in wanted:
            wanted[name] += alone.diagonal[name] / 9
    for name, mine in found.diagonal.items():
        assert wanted[name].abs().sum() > 0
        torch.testing.assert_close(mine, wanted[name], rtol=1e-3, atol=1e-7, msg=name)


def test_fisher_with_batch_norm_takes_one_example_at_a_time() -> None:
    start, task, data = convnet(5, norm="batch")
    backbone = start.network("fisher")
    supervised = Supervised(task.head(backbone.width, 0), task)
    batch = start.domain.collate([data[i] for i in range(5)])
    found = fisher(
        lambda some, rng: supervised.guess(backbone, some, rng),
        [backbone, supervised],
        dict(backbone.named_parameters()),
        [batch],
    )
    assert found.one_by_one


def test_low_rank_additions_to_convolutions() -> None:
    pytest.importorskip("peft")
    start, task, data = convnet()
    train, valid, test = halves(data)
    fitted = fit(FinetuneSpec(**QUICK, lora=LoraSpec(rank=2)), start, task, train, valid, seed=0)
    one, other = start.network("finetune").state_dict(), fitted.backbone().state_dict()
    assert one.keys() == other.keys(), "what is saved is a plain network"
    moved = {name.rsplit(".", 2)[-2] for name in one if not torch.equal(one[name], other[name])}
    assert moved == {"conv1", "conv2", "past"}
    assert fitted.outputs(test).isfinite().all()


def test_two_of_every_four_channels() -> None:
    start, _, _ = convnet()
    backbone = PruneSpec(pattern="2:4").start(start.network("prune"))
    for name, weight in prunable(backbone).items():
        fours = weight.detach().movedim(1, -1).unflatten(-1, (-1, 4))
        assert bool(((fours != 0).sum(-1) == 2).all()), name
    matrix = {"m": torch.randn(3, 8, generator=torch.Generator().manual_seed(0))}
    as_kernel = {"m": matrix["m"][:, :, None, None]}
    assert torch.equal(two_of_four(as_kernel)["m"][:, :, 0, 0], two_of_four(matrix)["m"])


def test_one_label_an_element() -> None:
    """Cells of the last grid answer for the patches they stand over."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 60, size=(24, 8, 8, 1)).astype(np.uint8)
    labels = rng.integers(0, 2, size=(24, 16))
    for picture, row in zip(values, labels, strict=True):
        picture[:] += (100 * row.reshape(4, 4).repeat(2, 0).repeat(2, 1)[..., None]).astype(np.uint8)
    source = from_arrays(values, label=["".join("ab"[k] for k in row) for row in labels])
    domain = ImageSpec(patch=2).build(source)
    task = TagSpec(head=RICH).build(domain.read(source))
    data = task.attach(domain.read(source))
    backbone = ConvNetSpec(width=8, stages=2).build(domain.inputs, seed=0)
    train, valid, test = data.subset(range(12)), data.subset(range(12, 18)), data.subset(range(18, 24))
    fitted = fit(ProbeSpec(), Start(domain, backbone), task, train, valid, seed=0)
    right = fitted.outputs(test).argmax(1).numpy() == labels[18:].reshape(-1)
    assert right.mean() > 0.9


def test_features_are_pooled() -> None:
    start, _, data = convnet(6)
    backbone = start.network("probe")
    elements, offsets = embed_elements(backbone, start.domain, data)
    assert np.array_equal(np.diff(offsets), [8] * 6)
    pooled = embed(backbone, start.domain, data)
    np.testing.assert_allclose(pooled, elements.reshape(6, 8, -1).mean(1), rtol=1e-5, atol=1e-6)


def test_what_a_convnet_cannot_do_is_refused(tmp_path: Path) -> None:
    start, _, data = convnet()
    backbone = start.network("finetune")
    with pytest.raises(InputError, match=r"objective.kind=masked takes patches out .* valid: .*simclr"):
        MaskedSpec().build(start.domain, backbone)
    with pytest.raises(InputError, match=r"heads and neurons .* not ConvNet"):
        PruneSpec(pattern="neurons").start(backbone)
    with pytest.raises(InputError, match="not one vector an element; valid: 1"):
        embed(backbone, start.domain, data, layers=2)
    with pytest.raises(InputError, match="this backbone has 2, valid: 1 to 2"):
        embed(backbone, start.domain, data, layers=3)
    with pytest.raises(InputError, match="ConvNet"):
        export_huggingface(copy.deepcopy(backbone), tmp_path)
