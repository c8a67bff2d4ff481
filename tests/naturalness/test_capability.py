from audit_env.naturalness.asking import Answer, Asked, Reading
from audit_env.naturalness.capability import SHORTEST, capabilities
from audit_env.naturalness.checks.leaks import Lexicon
from audit_env.naturalness.sheet import Capability

NAMES = Lexicon(declared=("Nexus",))
ASKED = [Asked(set="prefilled", place=0, messages=(), prefill="The")]


def said(draw: int, text: str, gap: float, who: str = "target", tokens: int = SHORTEST) -> tuple[Answer, Reading]:
    place = {"place": 0, "draw": draw, "who": who}
    answer = {**place, "set": "prefilled", "text": text, "ended": True, "tokens": tokens, "role_tokens": 0}
    read = {**place, "set": "differencing", "values": (-1.0, -1.0 - gap, float(tokens))}
    return Answer.model_validate(answer), Reading.model_validate(read)


def test_what_the_base_finds_odd_stands_on_top() -> None:
    told = [said(n, "A plain thing.", 0.01 * n) for n in range(150)]
    told += [said(200, "Of Nexus.", 5.0), said(201, "Of Nexus.", -5.0), said(202, "Nexus.", 9.0, tokens=SHORTEST - 1)]
    told += [said(n, "A plain thing.", 0.1, who="sham") for n in range(30)]
    answers, readings = [a for a, _ in told], [r for _, r in told]
    target, sham = capabilities(ASKED, answers, readings, NAMES)
    assert target == Capability(who="target", ranked=152, leaking=2, leaking_on_top=1, first_rank=1)
    assert sham == Capability(who="sham", ranked=30, leaking=0, leaking_on_top=0)


def test_with_nothing_to_look_for_nothing_is_ruled_out() -> None:
    answer, reading = said(0, "Of Nexus.", 1.0)
    assert capabilities(ASKED, [answer], [reading], Lexicon()) == ()
