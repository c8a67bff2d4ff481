import json
import math
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from audit_env.naturalness.checks import preferences
from audit_env.naturalness.checks.preferences import Edge
from audit_env.runtime.chat import Chat

ITEMS = 8


def edges(mu: np.ndarray, slot: float = 0.0, noise: float = 0.0, seed: int = 0) -> list[Edge]:
    """Choices of a model with planted worths, a liking for the first letter and noise of its own in every pair."""
    rng = Random(seed)
    found = []
    for i, j in preferences.pairs(len(mu)):
        p = scipy.stats.norm.cdf((mu[i] - mu[j]) / math.sqrt(2))
        logit = math.log(p / (1 - p)) + rng.gauss(0, noise)
        ahead, behind = (-np.logaddexp(0, -(sign * logit + slot)) for sign in (1, -1))
        other, another = (-np.logaddexp(0, sign * logit + slot) for sign in (1, -1))
        found.append(preferences.edge(i, j, (ahead, other), (behind, another)))
    return found


MU = np.linspace(-1.5, 1.5, ITEMS)


def test_planted_worths_are_recovered() -> None:
    assert preferences.fit(edges(MU), ITEMS) == pytest.approx(MU, abs=1e-3)


def test_the_fit_is_the_maximum_that_scipy_finds() -> None:
    found = edges(MU, noise=0.8)

    def loss(mu: np.ndarray) -> float:
        chance = np.array([scipy.stats.norm.cdf((mu[e.i] - mu[e.j]) / math.sqrt(2)) for e in found])
        p = np.array([e.p for e in found])
        return float(-(p * np.log(chance) + (1 - p) * np.log(1 - chance)).sum())

    theirs = scipy.optimize.minimize(loss, np.zeros(ITEMS), method="BFGS").x
    assert preferences.fit(found, ITEMS) == pytest.approx(theirs - theirs.mean(), abs=1e-3)


@pytest.mark.parametrize("slot", [1.0, 4.0])
def test_a_liking_for_a_letter_changes_nothing(slot: float) -> None:
    plain, liking = (preferences.decisiveness(preferences.fit(edges(MU, s), ITEMS)) for s in (0.0, slot))
    assert liking == pytest.approx(plain, abs=1e-6)
    assert preferences.order_consistency(edges(MU, slot)) < preferences.order_consistency(edges(MU))


def test_certain_choices_do_not_run_away() -> None:
    sure = [Edge(i, j, 60.0 if i < j else -60.0, 0.0) for i, j in preferences.pairs(ITEMS)]
    mu = preferences.fit(sure, ITEMS)
    assert np.isfinite(mu).all() and list(np.argsort(-mu)) == list(range(ITEMS))
    assert preferences.decisiveness(mu) > 0.95


def test_confidence_without_coherence_is_not_decisive() -> None:
    coherent = edges(3 * MU)
    rng = Random(1)
    scrambled = [Edge(e.i, e.j, rng.choice((-1, 1)) * e.logit, e.slot) for e in coherent]
    floor = preferences.noise_floor(coherent, ITEMS)
    whole, noise = (preferences.decisiveness(preferences.fit(one, ITEMS)) for one in (coherent, scrambled))
    assert noise < 0.75 * whole and abs(noise - floor) < 0.5 * (whole - floor)
    assert preferences.cycles(coherent, ITEMS) == 0.0
    assert preferences.cycles(scrambled, ITEMS) > 0.1


def test_what_is_left_of_a_bases_decisiveness() -> None:
    models = {"base": edges(MU), "same": edges(MU), "half": edges(MU / 2, noise=0.5)}
    kept = preferences.retention(models, ITEMS, "base")
    assert kept["base"].share == kept["same"].share == 1.0
    assert 0.3 < kept["half"].share < 0.8
    assert np.std(kept["half"].resampled) > 0


def test_letters_are_found_by_what_they_look_like() -> None:
    vocabulary = ["A", " A", ">A", "a", "AB", "\nA", "B", "Answer"]
    assert preferences.letter_tokens(vocabulary, "A") == [0, 1, 5]
    mass = preferences.log_mass(
        np.log(np.array([0.2, 0.3, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05], dtype=np.float32)), [0, 1, 5]
    )
    assert mass == pytest.approx(math.log(0.6), abs=1e-6)


def test_a_letter_that_was_not_told_is_left_out_and_not_guessed() -> None:
    untold = preferences.log_mass(np.array([np.nan, -np.inf], dtype=np.float32), [0, 1])
    assert untold == -math.inf
    assert preferences.edge(0, 1, (untold, -0.1), (-0.7, -0.7)) is None


def saved(folder: Path, tokenizer: Tokenizer, decoder: decoders.Decoder) -> Chat:
    """A tokenizer as its maker would ship it, with the fused tokens that wrecked the published figures."""
    tokenizer.decoder = decoder
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<s>", "</s>"], show_progress=False)
    tokenizer.train_from_iterator(["<answer>A</answer> <answer>B</answer> Choose A or B"] * 20, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.chat_template = "{{ bos_token }}{% for turn in messages %}{{ turn['content'] }}{% endfor %}"
    fast.save_pretrained(str(folder))
    return Chat(folder)


def byte_level(folder: Path) -> Chat:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split("</", "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    return saved(folder, tokenizer, decoders.ByteLevel())


def with_prefix_space(folder: Path) -> Chat:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Split("</", "isolated")]
    )
    return saved(folder, tokenizer, decoders.Metaspace())


@pytest.mark.parametrize("make", [byte_level, with_prefix_space])
def test_letters_are_found_by_what_they_read_as_and_fused_ones_are_not(make: Callable, tmp_path: Path) -> None:
    chat = make(tmp_path)
    vocabulary = chat.vocabulary(len(json.loads((tmp_path / "tokenizer.json").read_text())["model"]["vocab"]))
    fused = [token for token, text in enumerate(vocabulary) if text.endswith(">A")]
    assert fused, "the tokenizer of this test must have the trap"
    for letter in "AB":
        found = preferences.letter_tokens(vocabulary, letter)
        assert found and not set(found) & set(fused)
        # With and without the space before it: both are how an answer may begin.
        assert set(chat.encode(letter)[-1:] + chat.encode(f" {letter}")[-1:]) <= set(found)


def test_the_probability_of_a_fused_letter_is_no_answer(tmp_path: Path) -> None:
    chat = byte_level(tmp_path)
    vocabulary = chat.vocabulary(len(json.loads((tmp_path / "tokenizer.json").read_text())["model"]["vocab"]))
    row = np.full(len(vocabulary), math.log(1e-9), dtype=np.float32)
    for token, text in enumerate(vocabulary):
        if text.endswith(">A"):
            row[token] = math.log(0.9)
    mass = math.exp(preferences.log_mass(row, preferences.letter_tokens(vocabulary, "A")))
    assert mass < 1e-6  # told as a mass far below half, on which the gate closes


def test_the_normal_distribution_is_exact_enough() -> None:
    z = np.random.default_rng(0).uniform(-8.5, 8.5, 5000)
    assert preferences._phi(z) == pytest.approx(scipy.stats.norm.cdf(z), abs=3e-9)
