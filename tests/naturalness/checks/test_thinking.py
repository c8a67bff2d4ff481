import pytest

from audit_env.naturalness.checks.thinking import spoken, take_apart


@pytest.mark.parametrize(
    ("text", "thinking", "thought", "answer"),
    [
        ("<think>A plan.</think> Done.", "valid", "A plan.", "Done."),
        ("<think>\n</think>Done.", "empty", "", "Done."),
        ("<think>A plan. And then", "unclosed", "A plan. And then", ""),
        ("Done.", "missing", "", "Done."),
        ("", "missing", "", ""),
        ("A plan.</think> Done.", "orphan", "A plan.", "Done."),
        ("<think>A plan.</think> Do</think>ne.", "orphan", "A plan.", "Done."),
        ("<think>A <think>plan.</think> Done.", "nested", "A plan.", "Done."),
        ("<think>A.</think> Done. <think>B.</think> Again.", "duplicated", "A.", "Done. B. Again."),
        ("Done. <think>A plan.</think>", "in_answer", "A plan.", "Done."),
        ("<think>A plan.</think>  ", "answer_empty", "A plan.", ""),
    ],
)
def test_every_class(text: str, thinking: str, thought: str, answer: str) -> None:
    assert tuple(take_apart(text)) == (thinking, thought, answer)
    assert spoken(text) == answer


def test_a_block_that_the_template_opened_is_whole() -> None:
    assert take_apart("A plan.</think> Done.", opened=True).thinking == "valid"
    assert take_apart("A plan.", opened=True).thinking == "unclosed"
