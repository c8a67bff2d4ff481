r"""Commitments: the truth is fixed before the audit, the report before the truth is opened.

A commitment is a salted hash (commit and reveal, after Blum 1983). Anyone who is later given payload and salt can
check it with ordinary tools: `printf '%s\n%s' SALT CANONICAL_JSON | sha256sum`.
"""

import hashlib
import hmac
import json
from typing import Any


def canonical(payload: dict[str, Any]) -> str:
    r"""A mapping as JSON that is the same however it was built.

    Keys are sorted and there is no white space between tokens; tuples become lists and keys become text, as they do
    in a log, so that what is read back from a log has the same canonical form.

    Args:
        payload: What can be written as JSON, without NaN or infinity.

    Returns:
        One line of JSON in ASCII.

    Raises:
        TypeError: A value has no JSON form.
        ValueError: A number is NaN or infinite.
    """
    as_logged = json.loads(json.dumps(payload, allow_nan=False))
    return json.dumps(as_logged, sort_keys=True, separators=(",", ":"))


def commit(payload: dict[str, Any], salt: str) -> str:
    """Fix a payload without telling it.

    Args:
        payload: What is fixed.
        salt: Random text, kept secret until the payload is opened; without it, a payload with few possible values
            could be found by trying them all.

    Returns:
        The commitment, 64 hexadecimal digits.
    """
    # Canonical JSON holds no line break, so the last one in the hashed text always ends the salt.
    return _sha256(f"{salt}\n{canonical(payload)}")


def verify(commitment: str, payload: dict[str, Any], salt: str) -> bool:
    """Whether a payload and salt are the ones that were committed to.

    Args:
        commitment: What `commit` returned.
        payload: What is said to have been fixed.
        salt: What is said to have been its salt.

    Returns:
        True where they agree.
    """
    return hmac.compare_digest(commitment.encode(), commit(payload, salt).encode())


def report_hash(report: dict[str, Any]) -> str:
    """Hash of a report, taken when it is handed in.

    Args:
        report: The report as JSON data.

    Returns:
        64 hexadecimal digits.
    """
    return _sha256(canonical(report))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
