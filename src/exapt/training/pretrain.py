"""The whole of pre-training, from specs to an artifact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from exapt.backbones import BackboneSpec
from exapt.domains import DomainSpec, load_domain
from exapt.domains.base import Arrays, Dataset, Domain, Source
from exapt.errors import InputError
from exapt.files import make_folder
from exapt.objectives import Battery, BatterySpec, Objective, ObjectiveSpec
from exapt.spec import Spec
from exapt.training.batches import Batches
from exapt.training.begin import Begin, take_domain
from exapt.training.environment import commit, hardware, versions
from exapt.training.holdout import HeldOut, hold_out
from exapt.training.identity import FILE as IDENTITY
from exapt.training.identity import agree
from exapt.training.launch import Launch, launch
from exapt.training.loop import Trained, train
from exapt.training.monitor import Labelled, Monitor, take_sample
from exapt.training.pretrained import FILE, Pretrained, load_pretrained, save_pretrained
from exapt.training.seeds import derive
from exapt.training.shares import SharesWatcher
from exapt.training.spec import TrainingSpec
from exapt.training.trainable import Pretraining
from exapt.training.watcher import Watcher
from exapt.training.weights import load_into, room_for, tensors_of

Watching = Callable[[Pretraining, Domain], Sequence[Watcher]]
"""What watches a run, made once its model and its domain are known."""
OWN = {FILE, IDENTITY, "domain", "checkpoints", "metrics.jsonl", "tensorboard", "cache", "watch"}
OWN |= {"backbone.safetensors", "objective.safetensors"}
"""What a run's folder may hold."""


def pretrain(
    corpus: Source | Arrays,
    domain: DomainSpec,
    backbone: BackboneSpec,
    objective: ObjectiveSpec,
    training: TrainingSpec,
    folder: Path,
    resume: bool = True,
    progress: bool = True,
    *,
    cache: Path | None = None,
    select: Callable[[Domain, Dataset], Dataset] | None = None,
    labelled: Callable[[Domain], Labelled | None] | None = None,
    watchers: Watching = lambda _model, _domain: (),
    begin: Path | None = None,
    like: Path | None = None,
) -> Pretrained:
    """Pre-train on a corpus and write the artifact, its checkpoints and its metrics into `folder`.

    A finished run of the same specs and data is loaded; an interrupted one goes on where it stood; another one is
    refused with the first key that differs (`resume=False` discards it). What is returned was read back from disk.
    `select` may leave examples of the corpus out, such as those of a test part. `labelled` gives examples and labels
    that the monitor probes (never those of a test part). `watchers` look over the run; what they return when it is over
    stands in the record under `watched`. `begin` is a checkpoint whose backbone's weights (and objective's head, where
    it is the same) the run goes on from, with its domain; `like` one whose domain alone is taken over, so that both
    read alike. Raises `InputError` where weights do not fit in full.
    """
    training = _judged(objective, training)
    objective.check_network(backbone)
    folder, here = Path(folder), launch(training.device, training.parallel)
    specs: dict[str, Spec] = {"domain": domain, "backbone": backbone, "objective": objective}
    identity: dict[str, Any] = {name: spec.plain() for name, spec in specs.items()}
    origin = Begin.of(begin) if begin else None
    if origin:
        origin.check_domain(domain)
        identity["backbone"] |= {"begin": origin.key}
    with here.main_first():
        if here.main:
            _admit(folder, {**identity, "training": training.trajectory()}, resume)
            _settle_domain(domain, corpus, folder, cache, begin or like)
        field = load_domain(folder / "domain")
        dataset = field.read(corpus, cache)
    dataset = select(field, dataset) if select else dataset
    identity["data"] = dataset.fingerprint()
    if resume and (folder / FILE).exists():
        agree(folder, identity, partial=True)
        return load_pretrained(folder)
    objective = objective.settled(dataset, field)
    dataset = objective.attach(dataset, field)
    parts = hold_out(dataset, field, training.holdout, training.seed)
    model, arrived = _model(field, backbone, objective, training.seed, origin)
    batches, evaluate = _feeding(model, field, *parts, training, here)
    monitor = _monitor(model, field, backbone, batches, parts, training, here, labelled)
    shares = _shares(model, field, objective, batches, parts[0], training, here)
    watching = [*(watcher for watcher in (monitor, shares) if watcher), *watchers(model, field)]
    done = train(
        model,
        batches,
        training,
        evaluate=evaluate,
        folder=folder,
        resume=resume,
        progress=progress,
        identity=identity,
        watchers=watching,
    )
    watched = {watcher.name: found for watcher in watching if (found := watcher.finish())}
    model = _whole(model, field, backbone, objective, here)
    if here.main:
        facts = {"corpus": _plain(corpus), "data": _facts(dataset, *parts)}
        record = facts | _record(done, training, here, model) | _watched(watched)
        record["monitor"] = monitor.record() if monitor else None
        record |= {"begin": {"checkpoint": str(begin), **arrived}} if origin else {}
        # A backbone built from a hub's folder describes itself anew, so that the artifact needs that folder no more.
        save_pretrained(folder, field, model.backbone, model.objective, record, specs={"objective": objective})
    here.wait()
    return load_pretrained(folder)


def _feeding(
    model: Pretraining, domain: Domain, train_part: Dataset, held: Dataset | None, training: TrainingSpec, here: Launch
) -> tuple[Batches, HeldOut | None]:
    """Windows to train on, cut elsewhere in every pass, and the evaluation on those held out."""
    batches = Batches(
        train_part,
        domain.collate_training,
        windows=domain.windows,
        phases=domain.inputs.length,
        cost=domain.cost,
        **training.batching(),
    )
    _large_enough(batches, model.objective, here)
    return batches, HeldOut(model, domain, held, training, here) if held else None


def _large_enough(batches: Batches, objective: Objective, here: Launch) -> None:
    """Refuse batches of so few examples that an objective learns nothing from them."""
    most = max(len(places) for places in batches.plan(0)) * here.ranks
    if most < objective.least:
        raise InputError(
            f"pretrain: batches of {most} example, but {type(objective).__name__} compares examples with each other; "
            f"set pretrain.batch to {objective.least} or more, or raise pretrain.batch_elements"
        )


def _judged(objective: ObjectiveSpec, training: TrainingSpec) -> TrainingSpec:
    """The last weights are kept where the held-out loss does not say which are better, and patience is refused."""
    if objective.judges:
        return training
    if training.patience is not None:
        raise InputError(
            f"pretrain.patience: a lower held-out loss of objective.kind={objective.kind} is not a better "
            "network; leave patience out"
        )
    return training.model_copy(update={"keep_best": False})


def _monitor(
    model: Pretraining,
    domain: Domain,
    backbone: BackboneSpec,
    batches: Batches,
    parts: tuple[Dataset, Dataset | None],
    training: TrainingSpec,
    here: Launch,
    labelled: Callable[[Domain], Labelled | None] | None,
) -> Monitor | None:
    """What watches the run, if it is wanted."""
    spec = training.monitor
    if not spec.on:
        return None
    sample = take_sample(spec, domain, *parts, labelled(domain) if labelled else None, training.seed)
    per_epoch = len(batches.steps(0, training.accumulate, here.ranks))
    total = training.total_steps(per_epoch)
    work = total / per_epoch * float(parts[0].lengths.sum())
    seed = derive(training.seed, "random network")
    return Monitor(
        spec, model, model.backbone, sample, lambda: backbone.fresh(domain.inputs, seed=seed), total=total, work=work
    )


def _shares(
    model: Pretraining,
    domain: Domain,
    objective: ObjectiveSpec,
    batches: Batches,
    train_part: Dataset,
    training: TrainingSpec,
    here: Launch,
) -> SharesWatcher | None:
    """What watches a battery's parts, if it is wanted."""
    if not isinstance(objective, BatterySpec) or not objective.measure:
        return None
    if here.ranks > 1 and training.parallel == "sharded":
        raise InputError("objective.measure: gradients of single parts need whole weights; set objective.measure=false")
    assert isinstance(model.objective, Battery)
    windows = domain.windows(train_part, 0)
    order = np.random.default_rng(derive(training.seed, "shares")).permutation(len(windows))
    sample = domain.collate([windows[int(i)] for i in np.sort(order[: objective.examples])])
    total = training.total_steps(len(batches.steps(0, training.accumulate, here.ranks)))
    return SharesWatcher(model, model.objective, sample, total, objective.every, training.seed)


def _admit(folder: Path, identity: Mapping[str, Any], resume: bool) -> None:
    """Refuse a folder that holds anything else; with `resume=False` forget the run it holds."""
    make_folder(folder)
    strangers = sorted(path.name for path in folder.iterdir() if path.name not in OWN and path.name[0] != ".")
    if strangers and not (folder / IDENTITY).exists():
        raise InputError(f"{folder}: holds files that are no pre-training run ({strangers[0]}, …); choose a new folder")
    if not resume:
        for name in (FILE, IDENTITY):
            (folder / name).unlink(missing_ok=True)
    agree(folder, identity, partial=True)


def _settle_domain(
    spec: DomainSpec, corpus: Source | Arrays, folder: Path, cache: Path | None, like: Path | None = None
) -> None:
    """Learn the domain from the corpus once, or take that of another checkpoint; an interrupted run keeps its own."""
    if (folder / IDENTITY).exists():
        return
    if like is not None:
        take_domain(Path(like).expanduser(), folder / "domain")
    else:
        with room_for(folder / "domain"):
            spec.build(corpus, cache).save(folder / "domain")


def _model(
    domain: Domain, backbone: BackboneSpec, objective: ObjectiveSpec, seed: int, begin: Begin | None = None
) -> tuple[Pretraining, dict[str, str]]:
    """Weights that follow from the seed, or are those of another checkpoint; and what of them arrived.

    The backbone is filled before the objective is built, which may copy it (a momentum encoder).
    """
    network = backbone.build(domain.inputs, seed=derive(seed, "backbone"))
    arrived = {"backbone": begin.fill_backbone(network)} if begin else {}
    head = objective.build(domain, network, seed=derive(seed, "objective"))
    arrived |= {"objective": begin.fill_objective(head, objective)} if begin else {}
    return Pretraining(network, head, domain.augment), arrived


def _whole(
    model: Pretraining, domain: Domain, backbone: BackboneSpec, objective: ObjectiveSpec, here: Launch
) -> Pretraining:
    """The model itself, or a plain twin of one that FSDP2 left in shards; every process must call this."""
    if here.ranks == 1 or not any(hasattr(p, "full_tensor") for p in model.parameters()):
        return model
    twin, _ = _model(domain, backbone, objective, seed=0)
    load_into(twin, {name: tensor.cpu() for name, tensor in tensors_of(model).items()})
    return twin


def _facts(dataset: Dataset, train_part: Dataset, held: Dataset | None) -> dict[str, Any]:
    """What the corpus was."""
    return {
        "fingerprint": dataset.fingerprint(),
        "examples": len(dataset),
        "elements": int(dataset.lengths.sum()),
        "trained on": int(train_part.lengths.sum()),
        "held out": int(held.lengths.sum()) if held else 0,
        "skipped": dict(dataset.skipped),
    }


def _record(done: Trained, training: TrainingSpec, here: Launch, model: Pretraining) -> dict[str, Any]:
    """What the run came to, and what it stood on."""
    evaluations = [line for line in done.history if "held_out_loss" in line]
    return {
        "training": training.plain(),
        "seed": training.seed,
        "steps": done.step,
        "stopped": done.stopped,
        "weights": "best" if training.keep_best and done.best else "last",
        "best": done.best,
        "last": evaluations[-1] if evaluations else None,
        "elements": done.elements,
        "examples": done.examples,
        "seconds": round(done.seconds, 1),
        "parameters": model.backbone.size(),
        "hardware": hardware(here.device, here.ranks),
        "versions": versions(),
        "commit": commit(),
    }


def _watched(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What watchers returned; one that put other weights in says which."""
    weights = [found["weights"] for found in facts.values() if "weights" in found]
    return ({"watched": dict(facts)} if facts else {}) | ({"weights": weights[-1]} if weights else {})


def _plain(corpus: Source | Arrays) -> dict[str, Any]:
    return corpus.plain() if isinstance(corpus, Source) else {"path": corpus.path}
