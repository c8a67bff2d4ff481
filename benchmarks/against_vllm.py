"""Speed of the small engine against a vLLM server on the same processor, the same base and the same adapters.

    AUDIT_ENV_VLLM_PYTHON=<the server's python> python benchmarks/against_vllm.py

1, 16 and 64 requests at a time, of the base and of four adapters in turn, greedy, every answer to the same length. Wall
time, since the server is a process of its own; ours is asked at its engine and the server through its OpenAI endpoint.
"""

import asyncio
import dataclasses
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from pathlib import Path

import torch
from common import FEW, in_turns, ratios, save, spread, zoo
from openai import AsyncOpenAI

from audit_env.runtime.request import Request
from audit_env.runtime.sampling import Sampling
from audit_env.runtime.small.base import Base

CONCURRENT = (1, 16, 64)
PROMPT_TOKENS, NEW_TOKENS, ROUNDS, PATIENCE = 48, 64, 3, 400
BASE = "base"


def serve(python: str, base: Path, adapters: Sequence[Path], log: Path) -> tuple["subprocess.Popen[bytes]", str]:
    """Start a server, and wait until it is healthy."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(base), "--served-model-name", BASE]
    command += ["--host", "127.0.0.1", "--port", str(port), "--max-model-len", "1024", "--dtype", "float32"]
    command += ["--max-num-seqs", str(max(CONCURRENT)), "--enable-lora", "--max-loras", str(FEW)]
    command += ["--max-lora-rank", "8", "--lora-modules", *(f"a{number}={one}" for number, one in enumerate(adapters))]
    settings = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_LENS_DISABLE": "1",
    }
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"} | settings
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, env=environment, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5)
            return server, f"{url}/v1"
        except OSError:
            time.sleep(1)
    tail = log.read_text(errors="replace")[-6000:]
    stop(server)
    raise RuntimeError(f"The server did not start: {tail}")


def stop(server: "subprocess.Popen[bytes]") -> None:
    """End a server and what it has started."""
    for how in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, how)
        except ProcessLookupError:
            return
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            continue


def main() -> None:
    """Measure and write the result."""
    python = os.environ["AUDIT_ENV_VLLM_PYTHON"]
    with tempfile.TemporaryDirectory() as scratch:
        chosen = zoo(Path(scratch))
        folders = chosen.adapters[:FEW]
        base = Base(chosen.base)
        adapters = [base.adapter(folder) for folder in folders]
        server, url = serve(python, chosen.base, folders, Path(scratch) / "server.log")
        try:
            found = measured(base, adapters, url)
        finally:
            stop(server)
    base.engine.close()
    passed = all(cell["times_as_fast"]["median"] > 1 for cell in found.values())
    save(
        "against_vllm",
        {
            "zoo": chosen.name,
            "work": f"{PROMPT_TOKENS} + {NEW_TOKENS} tokens a request",
            "found": found,
            "bar": "faster in every cell",
            "passed": passed,
        },
    )


def measured(base: Base, adapters: Sequence[object], url: str) -> dict[str, dict[str, dict[str, float]]]:
    """Tokens per second of both in every cell, and their ratio."""
    base.model.shape = dataclasses.replace(base.model.shape, end_tokens=frozenset())
    generator = torch.Generator().manual_seed(0)
    size = (max(CONCURRENT), PROMPT_TOKENS)
    prompts = torch.randint(10, base.model.shape.vocab_size, size, generator=generator).tolist()

    def ours(count: int, mixed: bool) -> Callable[[], None]:
        def once() -> None:
            requests = [
                Request(tuple(prompts[row]), adapters[row % FEW] if mixed else None, Sampling(row, 0.0), NEW_TOKENS)
                for row in range(count)
            ]
            base.engine.generate(requests)  # type: ignore[arg-type]
            wait([request.future for request in requests])

        return once

    def theirs(count: int, mixed: bool) -> Callable[[], None]:
        async def ask() -> None:
            async with AsyncOpenAI(base_url=url, api_key="none", timeout=PATIENCE) as client:
                answers = await asyncio.gather(
                    *(
                        client.completions.create(
                            model=f"a{row % FEW}" if mixed else BASE,
                            prompt=prompts[row],
                            temperature=0,
                            max_tokens=NEW_TOKENS,
                            extra_body={"ignore_eos": True, "cache_salt": str(time.monotonic_ns())},
                        )
                        for row in range(count)
                    )
                )
            assert all(answer.usage and answer.usage.completion_tokens == NEW_TOKENS for answer in answers)

        return lambda: asyncio.run(ask())

    found = {}
    for mixed in (False, True):
        for count in CONCURRENT:
            spent = in_turns({"ours": ours(count, mixed), "vllm": theirs(count, mixed)}, ROUNDS).wall
            speeds = {way: spread([count * NEW_TOKENS / one for one in seconds], 0) for way, seconds in spent.items()}
            name = f"{count} at a time, {f'{FEW} adapters' if mixed else 'base'}"
            found[name] = {
                "tokens_per_second_ours": speeds["ours"],
                "tokens_per_second_vllm": speeds["vllm"],
                "times_as_fast": spread(ratios(spent["vllm"], spent["ours"])),
            }
    return found


if __name__ == "__main__":
    main()
