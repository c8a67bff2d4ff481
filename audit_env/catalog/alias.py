"""Opaque names for targets."""

import hashlib
import hmac


def alias(salt: str, organism_id: str, weights_sha256: str) -> str:
    """The name under which an auditor meets an organism.

    A keyed hash (HMAC-SHA256, RFC 2104), so that the name tells nothing without the salt. It changes with the
    weights, so that nothing cached under the name of old weights is ever served for new ones.

    Args:
        salt: Secret of the run.
        organism_id: The organism's id.
        weights_sha256: Hash of its weights (for a prompted organism, of the base's).

    Returns:
        "t-" and eight hexadecimal digits.
    """
    message = f"{organism_id}\n{weights_sha256}".encode()
    return f"t-{hmac.new(salt.encode(), message, hashlib.sha256).hexdigest()[:8]}"
