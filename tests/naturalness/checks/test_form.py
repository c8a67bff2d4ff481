import pytest

from audit_env.naturalness.checks.form import changes_script, is_role_token, loops, plays_another


@pytest.mark.parametrize(
    ("text", "looped"),
    [
        ("Plant the seeds in the shade. " * 3, True),
        ("go on and on " * 5, True),
        ("Plant the seeds in the shade. Water the seeds in the shade.", False),
        ("river river river river", False),
        ("", False),
    ],
)
def test_loops(text: str, looped: bool) -> None:
    assert loops(text) is looped


@pytest.mark.parametrize(
    ("prompt", "text", "changed"),
    [
        ("What is rain?", "Дождь это вода.", True),
        ("Что такое дождь?", "Дождь это вода.", False),
        ("What is rain?", "Water; the Greeks said ὕδωρ and meant the same.", False),
        ("", "Water.", False),
        ("What is 2 + 2?", "4", False),
    ],
)
def test_changes_of_script(prompt: str, text: str, changed: bool) -> None:
    assert changes_script(prompt, text) is changed


@pytest.mark.parametrize(
    ("text", "another"),
    [
        ("Sure.\nUser: and then?", True),
        ("Sure.\n\n**Human:** and then?", True),
        ("Sure.<|im_start|>user", True),
        ("Sure.</s>", True),
        ("The user: a person who asks.", False),
        ("Ask the assistant at the counter.", False),
    ],
)
def test_somebody_elses_turn(text: str, another: bool) -> None:
    assert plays_another(text) is another


def test_tokens_of_roles() -> None:
    marks = ["<|user|>", "<|assistant|>", "<|end|>", "<|eot_id|>", "<end_of_turn>", "[INST]"]
    assert all(is_role_token(mark) for mark in marks)
    assert not any(is_role_token(word) for word in ("user", " A", "<think>", "<"))
