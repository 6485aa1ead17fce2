"""The whole of pre-training, from specs to an artifact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from exapt.backbones import BackboneSpec
from exapt.domains import DomainSpec, load_domain
from exapt.domains.base import Arrays, Dataset, Domain, Source
from exapt.errors import InputError
from exapt.files import make_folder
from exapt.objectives import ObjectiveSpec
from exapt.spec import Spec
from exapt.training.batches import Batches
from exapt.training.environment import commit, hardware, versions
from exapt.training.holdout import HeldOut, hold_out
from exapt.training.identity import FILE as IDENTITY
from exapt.training.identity import agree
from exapt.training.launch import Launch, launch
from exapt.training.loop import Trained, train
from exapt.training.monitor import Labelled, Monitor, take_sample
from exapt.training.pretrained import FILE, Pretrained, load_pretrained, save_pretrained
from exapt.training.seeds import derive
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
) -> Pretrained:
    """Pre-train on a corpus and write the artifact, its checkpoints and its metrics into `folder`.

    A finished run of the same specs and data is loaded; an interrupted one goes on where it stood; another one is
    refused with the first key that differs (`resume=False` discards it). What is returned was read back from disk.
    `select` may leave examples of the corpus out, such as those of a test part. `labelled` gives examples and labels
    that the monitor probes (never those of a test part). `watchers` look over the run; what they return when it is over
    stands in the record under `watched`.
    """
    folder, here = Path(folder), launch(training.device, training.parallel)
    specs: dict[str, Spec] = {"domain": domain, "backbone": backbone, "objective": objective}
    identity: dict[str, Any] = {name: spec.plain() for name, spec in specs.items()}
    with here.main_first():
        if here.main:
            _admit(folder, {**identity, "training": training.trajectory()}, resume)
            _settle_domain(domain, corpus, folder, cache)
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
    model = _model(field, backbone, objective, training.seed)
    batches, evaluate = _feeding(model, field, *parts, training, here)
    monitor = _monitor(model, field, backbone, batches, parts, training, here, labelled)
    watching = [*([monitor] if monitor else []), *watchers(model, field)]
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
        domain.collate,
        windows=domain.windows,
        phases=domain.inputs.length,
        cost=domain.cost,
        **training.batching(),
    )
    return batches, HeldOut(model, domain, held, training, here) if held else None


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


def _settle_domain(spec: DomainSpec, corpus: Source | Arrays, folder: Path, cache: Path | None) -> None:
    """Learn the domain from the corpus once; an interrupted run keeps the one it has."""
    if not (folder / IDENTITY).exists():
        with room_for(folder / "domain"):
            spec.build(corpus, cache).save(folder / "domain")


def _model(domain: Domain, backbone: BackboneSpec, objective: ObjectiveSpec, seed: int) -> Pretraining:
    """Fresh weights that follow from the seed."""
    network = backbone.build(domain.inputs, seed=derive(seed, "backbone"))
    return Pretraining(network, objective.build(domain, network, seed=derive(seed, "objective")), domain.augment)


def _whole(
    model: Pretraining, domain: Domain, backbone: BackboneSpec, objective: ObjectiveSpec, here: Launch
) -> Pretraining:
    """The model itself, or a plain twin of one that FSDP2 left in shards; every process must call this."""
    if here.ranks == 1 or not any(hasattr(p, "full_tensor") for p in model.parameters()):
        return model
    twin = _model(domain, backbone, objective, seed=0)
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
