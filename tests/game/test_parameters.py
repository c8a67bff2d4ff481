import pytest
from inspect_ai._util.error import PrerequisiteError

from audit_env.errors import ParameterError, WeightsError
from audit_env.game.parameters import each_of, items, one_of, one_sentence, share_or_count, text_or_none, whole_number

LEVELS = ("blind", "black_box", "grey_box", "white_box")


@pytest.mark.parametrize(
    "typed",
    ["black_box,blind", ["black_box", "blind"], ("black_box", " blind "), "black_box, blind,", ["black_box,blind"]],
)
def test_a_list_may_be_typed_in_any_of_the_ways_that_inspect_hands_on(typed: object) -> None:
    assert items(typed) == ["black_box", "blind"]


def test_a_name_given_twice_counts_once() -> None:
    assert each_of("blind,blind", LEVELS, "affordance") == ["blind"]


def test_an_unknown_name_is_refused_with_the_nearest_and_all_valid_ones() -> None:
    with pytest.raises(ParameterError) as refused:
        each_of("black_box,whitebox", LEVELS, "affordance")
    assert str(refused.value) == (
        "Parameter 'affordance' cannot be 'whitebox'; did you mean 'white_box'? "
        "Valid names: blind, black_box, grey_box, white_box."
    )


@pytest.mark.parametrize("typed", [True, 3, "", "zzz", None])
def test_what_is_no_name_at_all_is_refused_too(typed: object) -> None:
    with pytest.raises(ParameterError, match="Valid names: blind"):
        one_of(typed, LEVELS, "affordance")


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(ParameterError, match="'affordance' is empty"):
        each_of("", LEVELS, "affordance")


@pytest.mark.parametrize(("typed", "text"), [("zoo", "zoo"), (2024, "2024"), (1.5, "1.5"), (None, None)])
def test_a_path_may_look_like_a_number(typed: object, text: str | None) -> None:
    assert text_or_none(typed, "root") == text


@pytest.mark.parametrize("typed", ["", True, ["a", "b"], {"a": 1}])
def test_what_is_no_single_text_is_refused(typed: object) -> None:
    with pytest.raises(ParameterError, match="'root' must be one name or path, not"):
        text_or_none(typed, "root")


@pytest.mark.parametrize(("typed", "number"), [(7, 7), ("7", 7), ("1e3", 1000), (2.0, 2)])
def test_numbers_are_read_as_text_too(typed: object, number: int) -> None:
    assert whole_number(typed, "seed") == number


@pytest.mark.parametrize("typed", ["1e-3", 0.5, "many", True, -1, "inf", "nan", None, [1, 2]])
def test_what_is_not_a_whole_number_is_refused(typed: object) -> None:
    with pytest.raises(ParameterError, match="'seed' must be a whole number of at least 0"):
        whole_number(typed, "seed")


@pytest.mark.parametrize(("typed", "number"), [(0.8, 0.8), (1, 1.0), ("1.0", 1.0), ("20000", 20000), (1e3, 1000)])
def test_shares_and_counts_are_told_apart(typed: object, number: float) -> None:
    found = share_or_count(typed, "shorten_at")
    assert found == number and type(found) is type(number)


@pytest.mark.parametrize("typed", [0, -1, 2.5, "many", "nan", "inf", True, None, [1]])
def test_what_is_neither_a_share_nor_a_count_is_refused(typed: object) -> None:
    with pytest.raises(ParameterError, match="'shorten_at' must be a share above 0, or a whole number"):
        share_or_count(typed, "shorten_at")


def test_our_errors_become_one_printable_sentence_and_others_stay_as_they_are() -> None:
    with pytest.raises(PrerequisiteError) as shown, one_sentence():
        raise WeightsError("field 'fire[b]' is missing.")
    assert str(shown.value.message) == "field 'fire[b]' is missing."
    with pytest.raises(ZeroDivisionError), one_sentence():
        raise ZeroDivisionError
