import re

from audit_env.catalog import alias

ORGANISM, WEIGHTS = "zoo/flattery.transcripts.none", "a" * 64


def test_has_its_form() -> None:
    assert re.fullmatch("t-[0-9a-f]{8}", alias("salt", ORGANISM, WEIGHTS))


def test_is_stable_across_releases() -> None:
    assert alias("salt", ORGANISM, WEIGHTS) == "t-1d510575"


def test_changes_with_salt_organism_and_weights() -> None:
    names = {
        alias("salt", ORGANISM, WEIGHTS),
        alias("other", ORGANISM, WEIGHTS),
        alias("salt", "zoo/base", WEIGHTS),
        alias("salt", ORGANISM, "b" * 64),
    }
    assert len(names) == 4
