"""The server that computes one base: what it is called there, which adapters it has, and what it can do."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audit_env.errors import ServerError
from audit_env.runtime.answers import fingerprint
from audit_env.runtime.vllm.client import Client, Refused
from audit_env.runtime.vllm.options import Options
from audit_env.runtime.vllm.process import Process

_DIGITS = 12
_WHOLE = "--no-enable-chunked-prefill"
_LENS = "Unknown or expired activation handle"
"""What vllm-lens, and nothing else, says of an activation that is not there."""


def opaque(kind: str, folder: Path) -> str:
    """What a server calls a model: its log must not tell who is served.

    Args:
        kind: "base" or "adapter".
        folder: Where its files are.

    Returns:
        A name that changes with the files and with nothing else.
    """
    return f"{kind}-{fingerprint(folder)[:_DIGITS]}"


class Server:
    """A vLLM server that serves one base: our own, or one at a given address."""

    def __init__(self, folder: Path, options: Options, adapted: Sequence[str] = ()) -> None:
        """Start a server, or find the one that is there.

        Args:
            folder: The base.
            options: Where it is, or how to start it, and how to ask it.
            adapted: As for a `Process`.

        Raises:
            ServerError: If it cannot be started or reached, or does not serve the base.
            ParameterError: If there is no vLLM to start.
        """
        self.base = opaque("base", folder)
        """What it calls the base."""
        self._process: Process | None = None
        url, api_key = options.url, options.api_key
        if url is None:
            self._process = Process(folder, self.base, options, adapted)
            url, api_key = self._process.url, self._process.api_key
        self._url = url
        self.client = Client(url, api_key, options, self._ended)
        try:
            served = self._served()
            if self.base not in served:
                raise self._absent(f"the base, which must be called '{self.base}': --served-model-name {self.base}")
            self.context_length: int = served[self.base]["max_model_len"]
            """Tokens that it reads at most, answer included."""
            self.reads_whole = self._process is not None and _WHOLE in shlex.split(options.arguments)
            """Whether it is known to read every prompt in one pass."""
            self.has_lens = self._has_lens()
            """Whether it has vllm-lens: residuals and edits."""
        except BaseException:
            self.close()
            raise

    def load(self, folder: Path) -> str:
        """Have an adapter served.

        Args:
            folder: A PEFT folder.

        Returns:
            What the server calls it.

        Raises:
            ServerError: If the server does not take it, or, at a given address, does not have it.
        """
        name = opaque("adapter", folder)
        if name not in self._served():
            if self._process is None:
                raise self._absent(f"the adapter of {folder}: --lora-modules {name}={folder.resolve()}")
            # By a link, since the server's log shows the path.
            link = self._process.folder / name
            link.symlink_to(folder.resolve(), target_is_directory=True)
            try:
                self.client.send("POST", "/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(link)}).result()
            except Refused as error:
                raise ServerError(
                    f"{folder}: the vLLM server does not take this adapter; if its rank is the reason, raise "
                    f"AUDIT_ENV_VLLM_LORA_RANK. {error}"
                ) from error
        return name

    def close(self) -> None:
        """Give up what is not answered, and stop a server that was started here."""
        self.client.close()
        if self._process is not None:
            self._process.close()

    def _ended(self) -> str | None:
        return None if self._process is None else self._process.ended

    def _served(self) -> dict[str, Any]:
        """What is served, by name."""
        return {card["id"]: card for card in self.client.send("GET", "/v1/models").result()["data"]}

    def _has_lens(self) -> bool:
        try:
            self.client.send("GET", "/v1/activations/none").result()
        except Refused as refusal:
            return _LENS in str(refusal)
        return False

    def _absent(self, what: str) -> ServerError:
        return ServerError(f"The vLLM server at {self._url} does not serve {what} ; start it so.")
