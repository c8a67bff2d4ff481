"""Prompts of auditors: Markdown files that a person edits, Jinja2 templates where they hold figures."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound

from audit_env.errors import ParameterError


class Prompts:
    """The prompts in a folder.

    Args:
        folder: Where the files are.
        instead: Files that stand in the place of some, by the name of the prompt.

    Raises:
        ParameterError: If one of those files cannot be read.
    """

    def __init__(self, folder: Path, instead: dict[str, Path] | None = None) -> None:
        self._folder = folder
        self._instead = {name: _read(file) for name, file in (instead or {}).items()}
        self._environment = Environment(
            loader=FileSystemLoader(folder),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=False,
        )

    def text(self, name: str, **fields: object) -> str:
        """A prompt, filled in.

        Args:
            name: Name of the file, without `.md`.
            fields: What the template asks for.

        Returns:
            The text, without white space around it.

        Raises:
            ParameterError: If there is no such file, or it asks for something that there is not.
        """
        file = self._folder / f"{name}.md"
        try:
            if name in self._instead:
                template = self._environment.from_string(self._instead[name])
            else:
                template = self._environment.get_template(file.name)
            return template.render(fields).strip()
        except TemplateNotFound as error:
            raise ParameterError(f"There is no prompt '{file}': put a file of that name there.") from error
        except TemplateError as error:
            raise ParameterError(f"The prompt '{name}' cannot be filled in ({error}): correct the template.") from error


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ParameterError(f"The prompt '{file}' cannot be read ({error}): name an existing file.") from error
