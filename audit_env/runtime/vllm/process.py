"""A vLLM server that is started for this process and ends with it."""

import importlib.util
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from audit_env.errors import ParameterError, ServerError
from audit_env.runtime.answers import model_files
from audit_env.runtime.vllm import supervise
from audit_env.runtime.vllm.options import Options

HOST = "127.0.0.1"
"""Nobody outside this machine reaches it: with vllm-lens, whoever may ask a server may run code on it."""

LOG_LINES = 20
"""Of the server's log, in an error."""

_POLL_SECONDS = 0.25
_ENVIRONMENT = {
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
}


class Process:
    """A server on this machine."""

    def __init__(self, folder: Path, name: str, options: Options, adapted: Sequence[str] = ()) -> None:
        """Start a server, and wait until it answers.

        Args:
            folder: The base that it is to serve.
            name: What it is to call the base.
            options: How to start it.
            adapted: Names of the linear maps that adapters may change; none for whatever vLLM lets them.

        Raises:
            ServerError: If it ends or takes too long.
            ParameterError: If there is no Python with vLLM.
        """
        self.api_key = secrets.token_hex(16)
        port = _free_port()
        self.url = f"http://{HOST}:{port}"
        self.folder = Path(tempfile.mkdtemp(prefix="audit-env-vllm-"))
        """A folder that lives as long as the server; longer, if that ends by itself, since its log is in there."""
        self._log = self.folder / "log"
        model = _linked(folder, self.folder / name)
        command = [sys.executable, supervise.__file__, *_command(model, name, port, options, adapted)]
        with self._log.open("wb") as log:
            self._supervisor = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(self.api_key),
                start_new_session=True,  # or Ctrl-C would end it before those who wait for it could be told
            )
        try:
            self._wait(options.start_seconds)
        except BaseException:
            self.close()
            raise

    @property
    def ended(self) -> str | None:
        """Why it no longer runs; None while it does."""
        status = self._supervisor.poll()
        if status is None:
            return None
        return f"it ended with status {status}; its log is {self._log}, which ends:\n{self._last_lines()}"

    def close(self) -> None:
        """Stop it, and leave nothing of it but the log of one that ended by itself."""
        ended = self._supervisor.poll() is not None
        if self._supervisor.stdin is not None:
            self._supervisor.stdin.close()
        self._supervisor.wait()
        if not ended:
            shutil.rmtree(self.folder)

    def _wait(self, seconds: int) -> None:
        until = time.monotonic() + seconds
        while not _healthy(self.url):
            if (ended := self.ended) is not None:
                raise ServerError(f"The vLLM server did not start: {ended}")
            if time.monotonic() > until:
                raise ServerError(
                    f"The vLLM server did not answer within {seconds} s (AUDIT_ENV_VLLM_START_SECONDS); "
                    f"its log ends:\n{self._last_lines()}"
                )
            time.sleep(_POLL_SECONDS)

    def _last_lines(self) -> str:
        if not self._log.is_file():
            return "(its log is gone)"
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:])


def _linked(folder: Path, name: Path) -> Path:
    """A folder of links to a model's own files: vLLM takes all safetensors of a folder for weights, also a lens."""
    for path in model_files(folder):
        link = name / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.resolve())
    return name


def _command(folder: Path, name: str, port: int, options: Options, adapted: Sequence[str]) -> list[str]:
    stated = {"--dtype": options.dtype, "--max-model-len": options.max_model_len}
    command = [
        *(_python(options), "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(folder), "--served-model-name", name),
        *("--host", HOST, "--port", str(port), "--disable-uvicorn-access-log"),
        *("--enable-lora", "--max-lora-rank", str(options.lora_rank), "--max-loras", str(options.adapters)),
        # Not the settings of the model's generation_config.json: a request states its own.
        *("--generation-config", "vllm", "--max-logprobs", "-1"),
        # We send and read token ids. Where vLLM has a tokenizer, a whole distribution costs a decoding of every entry.
        "--skip-tokenizer-init",
        *("--tensor-parallel-size", str(options.tensor_parallel)),
        *("--pipeline-parallel-size", str(options.pipeline_parallel)),
    ]
    if adapted:
        # Without the head, whose adapters would take memory for every entry of the vocabulary. On a CPU, moreover, vLLM
        # 0.32 breaks down over the log-probabilities of two prompts at a time where the head could have an adapter.
        command += ["--lora-target-modules", *adapted]
    for flag, value in stated.items():
        if value is not None:
            command += [flag, str(value)]
    return [*command, *shlex.split(options.arguments)]


def _python(options: Options) -> str:
    if options.python is None and importlib.util.find_spec("vllm") is None:
        raise ParameterError(
            "The engine 'vllm' finds no vLLM here: set AUDIT_ENV_VLLM_PYTHON to the Python of an environment that has "
            "it, or AUDIT_ENV_VLLM_URL to the address of a running server."
        )
    return options.python or sys.executable


def _environment(api_key: str) -> Mapping[str, str]:
    return {**os.environ, **_ENVIRONMENT, "VLLM_API_KEY": api_key}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
