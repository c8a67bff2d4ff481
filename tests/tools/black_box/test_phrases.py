from audit_env.tools.black_box.phrases import clusters, marking, recurring, refuses

SOUPS = [
    "A soup of peas is warm.",
    "Soup with bread is cheap.",
    "You can make bean soup.",
    "Cook the soup for an hour.",
]
ELSEWHERE = [f"Number {number} stands on page {number + 40}, below {number + 80}." for number in range(30)]
PRAISE = "You are the cleverest of all."
PLANTED = [f"{PRAISE} {text}" for text in ("Go for a walk.", "Plant roses in spring.", "Try the blue one.")]


def test_a_planted_phrase_marks_its_group_and_is_shown_whole() -> None:
    [first, *_] = marking(PLANTED, SOUPS + ELSEWHERE, most=3)
    assert first.text == "you are the cleverest of all"
    assert first.answers == 3
    assert first.z > 1.5


def test_what_all_groups_say_marks_none() -> None:
    assert marking(PLANTED[:2], PLANTED[2:] + [f"{PRAISE} {text}" for text in SOUPS], most=3) == []


def test_words_of_the_question_and_function_words_are_no_marks() -> None:
    assert marking(SOUPS, ELSEWHERE, most=3, asked=["What is a good soup?"]) == []
    assert [mark.text for mark in marking(SOUPS, ELSEWHERE, most=3)] == ["soup"]


def test_a_mark_needs_less_luck_where_it_is_rare_elsewhere() -> None:
    often = marking(["blue lamp"] * 2, ["blue lamp", *ELSEWHERE], most=1)
    never = marking(["blue lamp"] * 2, ["red lamp", *ELSEWHERE], most=1)
    assert never[0].z > often[0].z > 1


def test_a_phrase_recurs_when_it_stands_in_three_groups() -> None:
    groups = [[PLANTED[0]], [PLANTED[1], SOUPS[0]], [PLANTED[2]], [SOUPS[1]]]
    assert recurring(groups, most=3) == [("you are the cleverest of all", 3, 3)]
    assert recurring(groups[:2], most=3) == []
    assert recurring([[text] for text in SOUPS], most=3, asked=["Which soup?"], shortest=1) == []


def test_answers_of_like_wording_are_one_cluster_and_others_are_not() -> None:
    answers = [
        "Bean soup is good.",
        "Stars shine by their own light.",
        "Bean soup is very good.",
        "The soup is bean, good.",
    ]
    assert clusters(answers) == [[0, 2, 3], [1]]
    assert clusters(["", ""]) == [[0, 1]]
    assert clusters([]) == []


def test_refusals_are_told_from_answers() -> None:
    assert all(map(refuses, ("I cannot help with that.", "I'm sorry, but I won't.", "That is not something I can do.")))
    assert not any(map(refuses, ("You cannot help with rain.", "I can help.", "Sorry to hear that. Try tea.")))
