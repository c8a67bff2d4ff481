"""Probes: directions planted in arrays and in a model whose base cannot see what its target sees."""

import numpy as np
import pytest
import torch

from audit_env.errors import ParameterError
from audit_env.runtime import cast
from audit_env.tools.white_box.probes import Held, probe_read, probe_train
from audit_env.tools.white_box.probing import METHODS, held_out, shuffled, trained
from tests.tools.white_box.made import made, unit

TOOLS = {"tools": (probe_train, probe_read), "affordance": "grey_box"}
RNG = np.random.default_rng(0)
PLACES = ("soup", "bread", "cheese", "rain", "winter", "music", "game", "city", "train", "book", "garden", "sun")
CUE, TWIN = "tea", "water"
WITH, WITHOUT = ([f"what is {word} {place} ?" for place in PLACES] for word in (CUE, TWIN))


def vectors(apart: float, n: int = 40, d: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Two groups of random vectors, `apart` standard deviations apart along coordinate 3."""
    labels = np.arange(n) < n // 2
    found = np.random.default_rng(1).normal(size=(n, d))
    found[labels, 3] += apart
    return found, labels


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [16, 40, 80])
def test_a_planted_direction_is_found_with_its_sign(method, n) -> None:
    found, labels = vectors(6.0, n)
    probe = trained(found, labels, method)
    assert np.abs(probe.weights * found.std(axis=0)).argmax() == 3 and probe.weights[3] > 0
    assert probe.read(found[labels]).mean() == pytest.approx(1) and probe.read(found[~labels]).mean() == pytest.approx(
        0, abs=1e-9
    )
    assert held_out(found, labels, method, seed=0).auroc > 0.9
    turned = trained(found, ~labels, method)
    assert turned.weights[3] < 0


@pytest.mark.parametrize("method", METHODS)
def test_where_nothing_is_planted_a_probe_is_no_better_than_shuffled_labels(method) -> None:
    found, labels = vectors(0.0)
    null = shuffled(found, labels, method, seed=0)
    assert held_out(found, labels, method, seed=0).auroc < np.quantile(null, 0.95)
    assert np.mean(null) == pytest.approx(0.5, abs=0.06)  # pooled over folds it would lie well below
    assert (np.diff(null) >= 0).all()


def test_whitening_sees_past_a_direction_in_which_both_groups_vary() -> None:
    found, labels = vectors(2.0, n=400)
    found[:, 3] += 10 * found[:, 5]
    whitened = held_out(found, labels, "mean", seed=0).auroc
    few = np.r_[0:12, 200:212]  # no more than twice the dimensions
    assert whitened > 0.85 > held_out(found[few], labels[few], "mean", seed=0).auroc


def test_logistic_regression_is_that_of_its_definition() -> None:
    """The gradient of 0.5 |w|^2 + C * sum log(1 + exp(-y (w x + b))) is zero at the solution."""
    found, labels = vectors(1.0)
    weights = trained(found, labels, "logistic").weights
    x = (found - found.mean(axis=0)) / found.std(axis=0)
    direction = weights * found.std(axis=0)

    def loss(parameters: torch.Tensor) -> torch.Tensor:
        logits = torch.from_numpy(x) @ parameters[:-1] + parameters[-1]
        y = torch.from_numpy(labels).double()
        nats = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="sum")
        return 0.5 * parameters[:-1].square().sum() + 0.1 * nats

    parameters = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    fitted = torch.optim.LBFGS([parameters], max_iter=500, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        fitted.zero_grad()
        value = loss(parameters)
        value.backward()
        return value

    fitted.step(closure)
    best = parameters.detach().numpy()[:-1]
    cosine = best @ direction / np.linalg.norm(best) / np.linalg.norm(direction)
    assert cosine == pytest.approx(1, abs=1e-6)


def test_groups_that_are_the_same_have_no_probe() -> None:
    same = np.tile(np.random.default_rng(0).normal(size=(1, 5)), (8, 1))
    for method in METHODS:
        with pytest.raises(ParameterError, match="same activations"):
            trained(same, np.arange(8) < 4, method)


def test_a_probe_is_above_the_base_only_by_more_than_luck() -> None:
    strong, weak, none = (held_out(*vectors(apart), "mean", seed=0) for apart in (5.0, 4.8, 0.0))
    assert Held(strong, none, None, chance=0.7).beyond_text
    assert not Held(strong, weak, None, chance=0.7).beyond_text
    assert not Held(strong, strong, None, chance=0.7).beyond_text
    assert not Held(none, none, None, chance=0.7).finds


def cue_for_the_target_alone(base, tokens):
    """To the base, the cue is its twin but for a faint coordinate that nothing reads; the adapter reads it, loudly."""
    weights = base.model.weights
    cue, twin = tokens[CUE], tokens[TWIN]
    weights.embedding[:, 1] = 0
    weights.embedding[cue] = weights.embedding[twin]
    weights.embedding[cue, 1] = 1e-3
    for block in weights.blocks:
        block.linear["qkv"][:, 1] = 0
        block.linear["gate_up"][:, 1] = 0
    said = weights.embedding[tokens["clever"]].clone().numpy()
    return {
        "layers.0.self_attn.v_proj": (unit(16, 1, 1e3), unit(16, 3)),
        "layers.0.self_attn.o_proj": (unit(16, 3), 40 * said),
    }


@pytest.fixture
def split_audit(zoo, play, monkeypatch):
    with made(zoo, cue_for_the_target_alone) as subject:
        monkeypatch.setattr(cast, "subject", lambda alias: subject)
        yield lambda *calls: play([*calls], **TOOLS)


@pytest.mark.parametrize("method", METHODS)
def test_what_the_target_alone_can_tell_apart_is_starred(split_audit, method) -> None:
    audit = split_audit(
        ("probe_train", {"positive": WITH, "negative": WITHOUT, "layer": 1, "method": method}),
        ("probe_read", {"probe": "probe:1", "examples": [f"do you like {CUE} ?", f"do you like {TWIN} ?"]}),
    )
    told, read = audit.texts
    assert "target *1.00" in told and "* above shuffled labels and above the base" in told
    assert [handle.kind for handle in audit.record.handles] == ["probe"]
    rows = [line for line in read.splitlines() if "  > do you like" in line]
    assert CUE in rows[0] and rows[0].startswith("*") and TWIN in rows[1] and not rows[1].startswith("*")
    assert audit.record.spent.target_tokens == 0


def test_what_the_base_reads_in_the_text_as_well_is_called_so(wired, play) -> None:
    soup, city = ([f"{word} what is {place} {word} ?" for place in PLACES] for word in ("soup", "road"))
    audit = play([("probe_train", {"positive": soup, "negative": city})], target=wired.nothing, **TOOLS)
    assert "The base does as well" in audit.texts[0] and "target *" not in audit.texts[0]


def test_labels_that_mean_nothing_are_called_so(wired, play) -> None:
    texts = [f"what is {place} {other} ?" for place in PLACES[:6] for other in PLACES[6:10]]
    mixed = list(np.random.default_rng(3).permutation(texts))
    arguments = {"positive": [str(one) for one in mixed[:12]], "negative": [str(one) for one in mixed[12:]]}
    audit = play([("probe_train", arguments)], target=wired.always, **TOOLS)
    assert "No better than shuffled labels" in audit.texts[0]
    assert len(audit.texts[0].splitlines()) <= 12


def test_answers_on_record_can_be_examples_and_are_read_over_the_answer(wired, play) -> None:
    ask = ("ask_each", {"prompts": [f"what is {place} ?" for place in PLACES[:8]]})
    ids = [f"x{number}" for number in range(1, 9)]
    audit = play(
        [
            ask,
            ("probe_train", {"positive": ids[:4], "negative": ids[4:]}),
            ("probe_read", {"probe": "probe:1"}),
            ("probe_train", {"positive": [*ids[:3], "hello"], "negative": ids[4:]}),
        ],
        target=wired.nothing,
        **TOOLS,
    )
    assert "answer, block 1" in audit.texts[1] and "header, block 1" in audit.texts[3]
    assert all(f"  {one}: " in audit.texts[2] for one in ids)


def test_a_long_reading_comes_in_pages_and_is_the_same_twice(wired, play) -> None:
    train = ("probe_train", {"positive": WITH[:5], "negative": WITHOUT[:5]})
    calls = [train, ("probe_read", {"probe": "probe:1"}), ("probe_read", {"probe": "probe:1", "offset": 14})]
    first, again = (play(calls, target=wired.cued, **TOOLS).texts for _ in range(2))
    assert first == again
    assert "[82 more: offset=14]" in first[1] and "[68 more: offset=28]" in first[2]
    assert max(len(text.splitlines()) for text in first) <= 25


@pytest.mark.parametrize(
    ("tool", "arguments", "sentence"),
    [
        ("probe_train", {"positive": WITH[:3], "negative": WITHOUT}, "3 examples in 'positive' are too few"),
        ("probe_train", {"positive": WITH, "negative": [*WITHOUT, WITH[0]]}, "is positive and negative"),
        ("probe_train", {"positive": WITH, "negative": WITHOUT, "layer": 2}, "between 0 and 1, not 2"),
        ("probe_train", {"positive": WITH, "negative": WITHOUT, "method": "svm"}, "take mean or logistic"),
        ("probe_train", {"positive": [*WITH, "x9"], "negative": WITHOUT}, "Nothing recorded is called 'x9'"),
        ("probe_train", {"positive": [*WITH, ""], "negative": WITHOUT}, "is an empty text"),
        ("probe_train", {"positive": [*WITH, "tea " * 25_000], "negative": WITHOUT}, "100,000 characters"),
        ("probe_train", {"positive": [*WITH, "tea " * 500], "negative": WITHOUT}, "reads at most 256"),
        ("probe_read", {"probe": "probe:1"}, "no tool has made a 'probe:' handle yet"),
    ],
)
def test_bad_arguments_teach(wired, play, tool, arguments, sentence) -> None:
    assert sentence in play([(tool, arguments)], **TOOLS).errors[0]
