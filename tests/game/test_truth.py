import copy
import json
import subprocess
import sys

import pytest
from inspect_ai.util import Store

from audit_env.catalog import seal
from audit_env.errors import SealError
from audit_env.game import truth
from audit_env.game.draw import draw
from audit_env.game.record import AuditRecord


def sealed(zoo, organism: str) -> AuditRecord:
    catalog = zoo.catalog()
    targets = draw(catalog.game_set("tiny"), catalog, count=None, seed=5)
    alias = next(target.alias for target in targets if target.card.id == organism)
    return AuditRecord(store=Store(), alias=alias, seed=11, commitment=truth.seal(alias, 11))


def test_what_was_sealed_is_what_is_opened(zoo) -> None:
    record = sealed(zoo, "tiny/gloom.a")
    assert record.opened is None
    opened = truth.open_truth(record)
    assert (opened.card.id, opened.quirk.id if opened.quirk else None, opened.seed) == ("tiny/gloom.a", "gloom", 11)
    assert opened.alias == record.alias
    assert [entry.id for entry in opened.menu] == [entry.id for entry in zoo.catalog().menu().entries]


def test_a_clean_target_has_no_quirk(zoo) -> None:
    assert truth.open_truth(sealed(zoo, zoo.sham)).quirk is None


def test_a_commitment_cannot_be_recomputed_from_what_is_public(zoo) -> None:
    assert sealed(zoo, "tiny/gloom.a").commitment != sealed(zoo, "tiny/gloom.a").commitment


def test_an_opened_record_opens_in_another_process(zoo) -> None:
    record = sealed(zoo, "tiny/flattery.b")
    truth.open_truth(record)
    logged = json.dumps({"commitment": record.commitment, "opened": record.opened})
    program = (
        "import json, sys\n"
        "from inspect_ai.util import Store\n"
        "from audit_env.game.record import AuditRecord\n"
        "from audit_env.game.truth import open_truth\n"
        "print(open_truth(AuditRecord(store=Store(), **json.load(sys.stdin))).card.id)\n"
    )
    told = subprocess.run([sys.executable, "-c", program], input=logged, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "tiny/flattery.b"


def test_an_altered_truth_is_refused(zoo) -> None:
    record = sealed(zoo, "tiny/gloom.a")
    truth.open_truth(record)
    altered = copy.deepcopy(record.opened)
    assert altered is not None
    altered["truth"]["card"]["quirk"] = "flattery"  # type: ignore[index]
    record.opened = altered
    with pytest.raises(SealError, match="does not match the commitment"):
        truth.open_truth(record)


def test_a_truth_of_another_version_is_told_from_an_altered_one(zoo) -> None:
    record = sealed(zoo, "tiny/gloom.a")
    truth.open_truth(record)
    assert record.opened is not None
    older = copy.deepcopy(record.opened)
    older["truth"]["card"]["favourite_colour"] = "green"  # type: ignore[index]
    record.opened = older
    record.commitment = seal.commit(older["truth"], older["salt"])  # type: ignore[arg-type]
    with pytest.raises(SealError, match=r"another version of audit_env \(field 'card.favourite_colour'\)"):
        truth.open_truth(record)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({}, "has no commitment"),
        ({"commitment": "0" * 64}, "sealed in another process and never opened"),
        ({"commitment": "0" * 64, "opened": {"truth": "?"}}, "must hold 'truth' and 'salt'"),
    ],
)
def test_what_cannot_be_opened_says_why(fields: dict[str, object], complaint: str) -> None:
    with pytest.raises(SealError, match=complaint):
        truth.open_truth(AuditRecord(store=Store(), **fields))


def test_an_alias_that_was_never_drawn_has_no_envelope() -> None:
    with pytest.raises(SealError, match="'t-00000000'"):
        truth.envelope_of("t-00000000")
