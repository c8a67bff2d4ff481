"""Sampling: the right distribution, and choices that no small error can change."""

import torch

from audit_env.runtime.sampling import TOLERANCE, Sampling, answer_key, choose, gumbel

VOCAB = 40


def logits(rows: int, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(rows, VOCAB, generator=torch.Generator().manual_seed(seed))


def errors(rows: torch.Tensor) -> torch.Tensor:
    """The same ones whichever tests have drawn before: how many choices they change is counted."""
    size = TOLERANCE / 2.01
    return torch.empty_like(rows).uniform_(-size, size, generator=torch.Generator().manual_seed(11))


def draws(row: torch.Tensor, count: int, temperature: float, top_p: float) -> torch.Tensor:
    samplings = [Sampling(answer_key(0, (1, 2), number), temperature, top_p) for number in range(count)]
    tokens = choose(row.expand(count, -1), samplings, [0] * count).tokens
    return torch.bincount(torch.tensor(tokens), minlength=VOCAB) / count


def test_tokens_are_drawn_with_their_probabilities() -> None:
    [row] = logits(1)
    for temperature in (0.5, 1.0, 2.0):
        wanted = (row / temperature).softmax(-1)
        found = draws(row, 40_000, temperature, 1.0)
        # Four standard errors for each of 40 tokens.
        assert ((found - wanted).abs() < 4 * (wanted * (1 - wanted) / 40_000).sqrt() + 1e-6).all()


def test_the_nucleus_is_the_smallest_set_that_holds_its_mass() -> None:
    [row] = logits(1, seed=2)
    order = row.softmax(-1).sort(descending=True)
    size = int((order.values.cumsum(-1) < 0.8).sum()) + 1
    wanted = torch.zeros(VOCAB).scatter(0, order.indices[:size], order.values[:size] / order.values[:size].sum())
    found = draws(row, 40_000, 1.0, 0.8)
    assert set(found.nonzero()[:, 0].tolist()) == set(order.indices[:size].tolist())
    assert ((found - wanted).abs() < 4 * (wanted * (1 - wanted) / 40_000).sqrt() + 1e-6).all()


def test_greedy_takes_the_largest() -> None:
    rows = logits(20)
    assert choose(rows, [Sampling(7, temperature=0.0)] * 20, [0] * 20).tokens == rows.argmax(-1).tolist()


def test_sure_choices_stand_whatever_the_error() -> None:
    count = 4000
    rows = logits(count)
    kinds = [(0.0, 1.0), (1.0, 1.0), (0.7, 0.9), (1.0, 0.3)]
    samplings = [Sampling(number * 7919, *kinds[number % 4]) for number in range(count)]
    steps = [number % 50 for number in range(count)]
    # Near ties by the hundred, in logits and at the edge of the nucleus.
    rows[::3, 1] = rows[::3, 0] + 1e-4
    exact = choose(rows, samplings, steps, tolerance=0.0)
    error = errors(rows)
    found = choose(rows + error, samplings, steps)
    differ = [number for number in range(count) if found.tokens[number] != exact.tokens[number]]
    assert differ
    assert not any(found.sure[number] for number in differ)
    assert sum(found.sure) > 0.98 * count


def test_choices_at_the_edge_of_the_nucleus_stand_whatever_the_error() -> None:
    """`top_p` is the very mass that the tokens ahead of one hold, so that an error puts that one in or out."""
    count = 3000
    rows = logits(count, seed=5)
    held = rows.softmax(-1).sort(descending=True).values.cumsum(-1)
    samplings = [Sampling(number * 7919, top_p=float(held[number, 2])) for number in range(count)]
    exact = choose(rows, samplings, [0] * count, tolerance=0.0)
    error = errors(rows)
    found = choose(rows + error, samplings, [0] * count)
    differ = [number for number in range(count) if found.tokens[number] != exact.tokens[number]]
    assert not any(found.sure[number] for number in differ)
    assert sum(found.sure) > 0.5 * count
    own = choose(rows + error, samplings, [0] * count, tolerance=0.0)
    assert sum(one != other for one, other in zip(own.tokens, exact.tokens, strict=True)) > 50


def test_noise_is_a_function_of_key_step_and_token() -> None:
    keys, steps = [3, 2**64 - 1, 3], [0, 5, 1]
    for vocab in (VOCAB, 2**15):  # of which two rows are drawn at a time
        together = gumbel(keys, steps, vocab)
        for row, (key, step) in enumerate(zip(keys, steps, strict=True)):
            torch.testing.assert_close(together[row], gumbel([key], [step], vocab)[0])
        assert not torch.equal(together[0], together[2])


def test_noise_has_gumbel_moments() -> None:
    noise = gumbel(list(range(3000)), [0] * 3000, 300)
    assert abs(float(noise.mean()) - 0.57722) < 0.01
    assert abs(float(noise.var()) - 1.64493) < 0.02


def test_keys_differ_by_seed_prompt_and_number() -> None:
    assert (
        len({answer_key(0, (1, 2), 0), answer_key(1, (1, 2), 0), answer_key(0, (12,), 0), answer_key(0, (1, 2), 1)})
        == 4
    )
