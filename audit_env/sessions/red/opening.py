"""Opening: the red team's truth against the package that was played, and the audits scored by it.

A log of a sealed target commits to a card that names the package's commitment; the package commits to the truth. So the
truth that scores an audit is the one that was fixed before anybody met the target, through two seals, and both are
checked here. The scores come from the game's own scorer.
"""

import secrets
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from inspect_ai import score
from inspect_ai.log import EvalLog, EvalSample, read_eval_log, write_eval_log

from audit_env.catalog import seal as sealing
from audit_env.catalog.models import Card
from audit_env.catalog.reading import shown
from audit_env.errors import SealError
from audit_env.game.record import AuditRecord
from audit_env.game.scorer import verdict
from audit_env.game.verification import check_seals
from audit_env.sessions.errors import SessionError
from audit_env.sessions.red.package import Manifest, Package
from audit_env.sessions.red.receiving import seal_of
from audit_env.sessions.red.sealing import Opening, SealedTarget, opaque

_COMMITMENT, _OPENED = (f"{AuditRecord.__name__}:{field}" for field in ("commitment", "opened"))
_INTACT = {"weights": "intact"}
"""What the weights gate found: they were hashed when the target was drawn, and again when they were loaded."""


def check(package: Package, opening: Opening) -> None:
    """Check that an opening is the one that a package commits to.

    Args:
        package: The package, whose weights are those that its manifest names.
        opening: The truth file, which is what it commits to.

    Raises:
        SealError: It is another one, or speaks of other targets, weights or menu entries.
    """
    manifest, truth = package.manifest, opening.truth
    if opening.commitment != manifest.commitment:
        raise SealError(
            f"The truth is sealed under {opening.commitment[:12]}, and the package under {manifest.commitment[:12]}: "
            "it belongs to another package, or was sealed again after this one was handed out."
        )
    sealed = {target.name: target.weights_sha256 for target in truth.targets}
    played = {target.name: target.weights_sha256 for target in manifest.targets}
    if sealed != played:
        raise SealError("Targets or weights of the package are not those that the truth was sealed for.")
    for target in truth.targets:
        if opaque(opening.salt, target.card) != target.name:
            raise SealError(f"The name '{target.name}' was not made from its target's weights: targets were swapped.")
    if truth.entries != manifest.entries:
        raise SealError("The package's menu entries are not those that the truth was sealed with.")


def open_log(path: Path, opening: Opening, manifest: Manifest, out: Path) -> tuple[Path, int]:
    """Score the sealed targets of a log by their truth.

    Args:
        path: The log of a finished game.
        opening: The checked truth.
        manifest: Of the package that was played.
        out: The folder that the scored log goes to; the log itself stays as it is.

    Returns:
        The scored log, and how many audits were opened. Its seals still hold.

    Raises:
        SessionError: It has no audit of the package's targets.
        SealError: The seals of such an audit are broken, or it was played with other weights.
    """
    if out.resolve() == path.resolve().parent:
        raise SessionError(f"{shown(path)}: the scored log would take its place; name another folder with  --out")
    log = read_eval_log(str(path))
    known = {target.weights_sha256: target for target in opening.truth.targets}
    checks = {(one.sample, one.epoch): one for one in check_seals(log)}
    told = log.model_copy(update={"samples": deepcopy(log.samples)})
    opened: list[int] = []
    for place, sample in enumerate(told.samples or []):
        sealed = _sealed_card(sample)
        if sealed is None or seal_of(sealed) != manifest.commitment:
            continue
        found = checks[str(sample.id), sample.epoch]
        if found.state != "holds":
            raise SealError(f"{shown(path)}: sample '{sample.id}': {' '.join(found.faults)}")
        target = known.get(sealed.weights.sha256) if sealed.weights else None
        if target is None:
            raise SealError(f"{shown(path)}: sample '{sample.id}' was played with other weights than the package's.")
        _tell(sample, target, opening)
        opened.append(place)
    if not opened:
        raise SessionError(f"{shown(path)}: no audit of the package's targets; name the log of a game they were in.")
    arguments: Mapping[str, Any] = log.eval.task_args
    scored = score(
        told,
        verdict(judge=arguments.get("judge", "grader"), votes=arguments.get("votes", 1)),
        action="overwrite",
        display="none",
    )
    out.mkdir(parents=True, exist_ok=True)
    place_of = out / path.name
    write_eval_log(_with_scores(log, scored, opened, manifest.commitment), str(place_of))
    return place_of, len(opened)


def _sealed_card(sample: EvalSample) -> Card | None:
    truth = (sample.store.get(_OPENED) or {}).get("truth")
    return Card.model_validate(truth["card"]) if truth else None


def _tell(sample: EvalSample, target: SealedTarget, opening: Opening) -> None:
    """Put the truth in the place of the sealed card, for the scorer alone."""
    before = sample.store[_OPENED]
    quirked = target.standing == "quirked"
    truth = before["truth"] | {
        "card": target.card.model_dump(mode="json"),
        "quirk": opening.truth.quirk.model_dump(mode="json") if quirked else None,
    }
    salt = secrets.token_hex(16)
    sample.store[_OPENED] = before | _INTACT | {"truth": truth, "salt": salt}
    sample.store[_COMMITMENT] = sealing.commit(truth, salt)


def _with_scores(log: EvalLog, scored: EvalLog, opened: Sequence[int], commitment: str) -> EvalLog:
    """The log as it was played, with the scores of the opened audits, and metrics over all of them."""
    samples = list(log.samples or [])
    for place in opened:
        samples[place] = samples[place].model_copy(update={"scores": (scored.samples or [])[place].scores})
    described = log.eval.model_copy(update={"metadata": (log.eval.metadata or {}) | {"red_team": commitment}})
    return log.model_copy(update={"samples": samples, "results": scored.results, "eval": described})
