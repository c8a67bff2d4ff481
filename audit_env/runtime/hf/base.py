"""A base in memory, with the engine that runs it and the adapters that it serves."""

from functools import cached_property
from itertools import count
from pathlib import Path

import torch

from audit_env.runtime.chat import Chat
from audit_env.runtime.hf.engine import Engine
from audit_env.runtime.hf.gates import check_model, check_zero
from audit_env.runtime.hf.model import HfModel
from audit_env.runtime.hf.options import Options
from audit_env.runtime.hf.source import resolved
from audit_env.runtime.small.base import MEMO_ANSWERS, MEMO_BYTES
from audit_env.runtime.small.batch import Generated
from audit_env.runtime.small.memo import Memo, Once
from audit_env.runtime.subject import Floats


class HfBase:
    """One per model and process; every organism made from it shares it."""

    def __init__(self, source: Path | str, expected: str | None = None, options: Options | None = None) -> None:
        """Load a base.

        Args:
            source: A Hugging Face model folder, or a pinned repository (see `source.resolved`; not yet run).
            expected: SHA-256 that its weights must have; None to take them as they are.
            options: Precision and place; by default those of the environment.

        Raises:
            WeightsError: If a file is missing, altered or forbidden, or the engine does not read the architecture
                right.
            MissingExtraError: If the options need a package that is not installed.
            ParameterError: If the environment names an option that does not exist.
        """
        folder = resolved(source)
        self.chat = Chat(folder)
        self.model = HfModel(folder, expected, options or Options.from_environment())
        with torch.inference_mode():
            check_model(self.model)
        self.engine = Engine(self.model)
        self.first_tokens: Once[Floats] = Once(Memo(MEMO_BYTES, lambda array: array.nbytes))
        self.answers: Memo[Generated] = Memo(MEMO_ANSWERS)
        self._adapters: dict[tuple[Path, str | None], str] = {}
        self._names = (f"a{number}" for number in count())
        """Each is used once, since an adapter that is refused late stays in the model, where nothing switches it on."""

    def adapter(self, folder: Path, expected: str | None = None) -> str:
        """An adapter of this base, read when it is first asked for.

        Args:
            folder: A PEFT adapter folder.
            expected: SHA-256 that its weights must have; None to take them as they are.

        Returns:
            Its name in the model.

        Raises:
            WeightsError: If a file is missing or altered, the adapter does not fit, or it changes more than it says.
        """
        key = folder, expected
        if key not in self._adapters:
            name = next(self._names)
            self.engine.run(lambda model: _load_adapter(model, name, folder, expected)).result()
            self._adapters[key] = name
        return self._adapters[key]

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """Every token as a reader sees it."""
        return tuple(self.chat.vocabulary(self.model.vocab_size))


@torch.inference_mode(False)
def _load_adapter(model: HfModel, name: str, folder: Path, expected: str | None) -> None:
    """Read an adapter, and fill it only when it has shown that it changes nothing while B is zero."""
    config, tensors = model.adapters.read(folder, expected)
    with torch.no_grad():
        model.adapters.add(name, config)
        check_zero(model, name)
        model.adapters.fill(name, tensors, folder / "adapter_model.safetensors")
