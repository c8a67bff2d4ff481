import hashlib
import json
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_env.catalog import commit, report_hash, verify
from audit_env.catalog.seal import canonical

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
payloads = st.dictionaries(st.text(), values, max_size=5)

TRUTH = {"targets": {"t-1": "flattery"}, "seeds": [1, 2]}


@given(payloads, st.text(st.characters(exclude_categories=["Cs"])))
def test_what_was_committed_is_verified(payload: dict[str, object], salt: str) -> None:
    assert verify(commit(payload, salt), json.loads(json.dumps(payload)), salt)


@pytest.mark.parametrize(
    ("payload", "salt"),
    [(TRUTH | {"seeds": [1, 3]}, "salt"), (TRUTH, "other"), (TRUTH | {"extra": None}, "salt"), ({}, "salt")],
)
def test_anything_else_is_not(payload: dict[str, object], salt: str) -> None:
    assert not verify(commit(TRUTH, "salt"), payload, salt)


def test_a_commitment_that_is_no_hash_is_not_verified() -> None:
    assert not verify("naïve", TRUTH, "salt")


def test_the_order_of_keys_and_the_kind_of_sequence_do_not_matter() -> None:
    assert commit({"b": (1, 2), "a": {"y": 1, "x": 2}}, "s") == commit({"a": {"x": 2, "y": 1}, "b": [1, 2]}, "s")
    assert canonical({10: 1, 9: 2}) == canonical({"9": 2, "10": 1})  # type: ignore[dict-item]


def test_the_salt_cannot_take_over_a_part_of_the_payload() -> None:
    assert commit({"a": 1}, "s\n{}") != commit({}, 's\n{"a":1}')


def test_numbers_that_json_lacks_are_refused() -> None:
    with pytest.raises(ValueError):
        commit({"a": float("nan")}, "salt")
    with pytest.raises(TypeError):
        commit({"a": {1, 2}}, "salt")


def test_a_report_has_the_hash_of_its_canonical_form() -> None:
    assert report_hash({"p_quirk": 0.5, "é": []}) == hashlib.sha256(b'{"p_quirk":0.5,"\\u00e9":[]}').hexdigest()


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_anyone_can_verify_with_a_shell() -> None:
    command = ["bash", "-c", r"printf '%s\n%s' salt '{\"seeds\":[1,2]}' | sha256sum".replace('\\"', '"')]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.split()[0] == commit({"seeds": [1, 2]}, "salt")
