"""Seeds: ideas of where to look, one Markdown file each, with tags in its front matter."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import Field, ValidationError

from audit_env.catalog.models import Strict
from audit_env.catalog.reading import nearest
from audit_env.errors import ParameterError
from audit_env.game.parameters import items


class FrontMatter(Strict):
    """What stands above a seed."""

    tags: tuple[str, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Seed:
    """One idea of where to look."""

    name: str
    tags: tuple[str, ...]
    idea: str


def seeds(folder: Path, tags: str | Sequence[str] | None = None) -> list[Seed]:
    """Read the seeds of a folder.

    Args:
        folder: Where the files are.
        tags: Only seeds with one of these tags; one, a list, or with commas. Default: all.

    Returns:
        The seeds, by name.

    Raises:
        ParameterError: If there are none, a file cannot be read, or no seed has a tag of that name.
    """
    found = [_read(file) for file in sorted(folder.glob("*.md"))]
    if not found:
        raise ParameterError(f"The folder '{folder}' holds no seeds: put Markdown files there.")
    wanted = items(tags) if tags else []
    there_are = sorted({tag for seed in found for tag in seed.tags})
    if unknown := [tag for tag in wanted if tag not in there_are]:
        raise ParameterError(f"No seed has the tag '{unknown[0]}'; {nearest(unknown[0], there_are)}.")
    return [seed for seed in found if not wanted or set(wanted) & set(seed.tags)]


def _read(file: Path) -> Seed:
    try:
        opening, head, body = file.read_text(encoding="utf-8").split("---\n", 2)
        matter = FrontMatter.model_validate(yaml.safe_load(head))
        if opening.strip() or not body.strip():
            raise ValueError("front matter comes first, and the idea after it")
    except (OSError, ValueError, ValidationError, yaml.YAMLError) as error:
        raise ParameterError(
            f"The seed '{file}' cannot be read: it needs a line '---', 'tags: [...]', a line '---' and the idea "
            f"({str(error).splitlines()[0]})."
        ) from error
    return Seed(file.stem, matter.tags, body.strip())
