"""JSON files of a Hugging Face folder."""

import json
from pathlib import Path
from typing import Any

from audit_env.errors import WeightsError


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Args:
        path: The file.

    Returns:
        The object.

    Raises:
        WeightsError: If the file is missing or is not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(f"{path} is missing: give a complete Hugging Face folder.") from error
    except ValueError as error:
        raise WeightsError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} must hold a JSON object.")
    return content
