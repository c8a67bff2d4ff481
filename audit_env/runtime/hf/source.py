"""Where a model comes from: a local folder, or one pinned revision of a repository; and what is refused unread."""

import re
from pathlib import Path

from audit_env.catalog.integrity import refuse_code, refuse_pickles, sha256
from audit_env.errors import WeightsError

FILES = ("*.safetensors", "*.json", "*.jinja")
"""What is taken of a repository: neither code nor pickles."""

_PINNED = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")


def resolved(source: Path | str) -> Path:
    """The folder of a model.

    Args:
        source: A local folder, or `<owner>/<repository>@<commit>` on the Hugging Face hub, with all forty digits of the
            commit: a branch may change under an audit.

    Returns:
        The folder.

    Raises:
        WeightsError: If a repository is not pinned.
    """
    if isinstance(source, Path):
        return source
    pinned = _PINNED.fullmatch(source)
    if pinned is None:
        raise WeightsError(
            f"'{source}' names no commit: give <owner>/<repository>@<commit>, with the commit's forty digits."
        )
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(pinned["repository"], revision=pinned["revision"], allow_patterns=list(FILES)))


def check_folder(folder: Path, stem: str, expected: str | None) -> None:
    """Refuse a folder with pickles or code in it, or with other weights than expected.

    Args:
        folder: Where the files are.
        stem: "model" or "adapter_model".
        expected: SHA-256 that `<stem>.safetensors` must have; None to take the weights as they are.

    Raises:
        WeightsError: If something in it is forbidden, missing or altered.
    """
    refuse_pickles(folder)
    refuse_code(folder)
    whole = folder / f"{stem}.safetensors"
    if not whole.is_file() and (expected is not None or not (folder / f"{whole.name}.index.json").is_file()):
        raise WeightsError(f"{whole} is missing: give a complete folder with safetensors weights.")
    if expected is not None and sha256(whole) != expected:
        raise WeightsError(f"{whole}: the SHA-256 is not the one on the card; restore the file or breed it again.")
