import pytest

from tests.sessions.table import CTRL_C, END, Table


def test_what_a_target_wrote_cannot_act_on_the_terminal() -> None:
    table = Table()
    table.terminal.say("x1: \x1b[2J\x1b]0;won\x07 \u202eevil \x9b31m\rThe report is in.")
    assert table.text == "x1: \\u001b[2J\\u001b]0;won\\u0007 \\u202eevil \\u009b31m\\u000dThe report is in."


def test_a_long_text_comes_a_page_at_a_time() -> None:
    table = Table("", "q")
    table.terminal.say("\n".join(f"line {number} {'word ' * 30}" for number in range(40)))
    assert max(map(len, table.shown)) <= 79
    assert table.prompts == [f"-- {left} more lines; Enter goes on, q leaves them out> " for left in (59, 38)]
    assert len(table.shown) == 42


def test_what_is_typed_in_the_middle_of_a_long_text_is_the_next_line() -> None:
    table = Table("chat hello", "tools")
    table.terminal.say("\n".join(map(str, range(40))))
    assert [table.terminal.ask("play> ") for _ in range(2)] == ["chat hello", "tools"]
    assert table.shown == [*map(str, range(21)), "play> chat hello"]


@pytest.mark.parametrize("way", [CTRL_C, END])
def test_a_long_text_can_be_broken_off(way: object) -> None:
    table = Table(way)
    table.terminal.say("\n".join(map(str, range(40))))
    assert table.shown == [*map(str, range(21)), ""]


def test_a_text_of_one_screen_is_not_paged() -> None:
    table = Table()
    table.terminal.say("\n".join(map(str, range(22))))
    assert len(table.shown) == 22 and not table.prompts


def test_a_line_can_go_on_in_the_next() -> None:
    assert Table("a \\", "b").terminal.ask("> ") == "a \nb"
    assert Table("caf\udce9").terminal.ask("> ") == "caf?"
