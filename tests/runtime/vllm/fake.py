"""A server that talks like vLLM's and computes nothing; as a script, one that starts like it."""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import uvicorn
import zstandard
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

END = 2
WIDTH = 64
VOCAB = 300
LOGS = [float(log) for log in np.log(np.arange(1, VOCAB + 1) / np.arange(1, VOCAB + 1).sum())]
"""Log-probability of every token at every position: the larger the number, the likelier."""


class Fake:
    """The server. What it was asked is in `asked`; how it is to fail, in `faults`."""

    def __init__(self, *served: str, lens: bool = True, api_key: str | None = None, context: int = 256) -> None:
        self.served, self.lens, self.api_key, self.context = [*served], lens, api_key, context
        self.asked: list[dict[str, Any]] = []
        self.faults: deque[int | str] = deque()
        """For the next requests: a status, "hang" or "cut"."""
        self.hanging, self.taken_back = threading.Semaphore(0), threading.Event()
        self.loaded: dict[str, str] = {}
        self.app = Starlette(
            routes=[
                Route("/health", self._health),
                Route("/v1/models", self._models),
                Route("/v1/load_lora_adapter", self._load, methods=["POST"]),
                Route("/v1/activations/{handle}", self._activation),
                Route("/v1/completions", self._complete, methods=["POST"]),
            ]
        )

    def __enter__(self) -> "Fake":
        listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        # It hangs up on nobody by itself: that could cross with the next request, which would have to be sent again.
        self._server = uvicorn.Server(
            uvicorn.Config(self.app, log_level="critical", lifespan="off", timeout_keep_alive=600)
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()

    async def _health(self, request: Request) -> Response:
        return Response()

    async def _models(self, request: Request) -> Response:
        if self.api_key is not None and request.headers.get("authorization") != f"Bearer {self.api_key}":
            return JSONResponse({"error": "Unauthorized"}, 401)
        return JSONResponse({"data": [{"id": name, "max_model_len": self.context} for name in self.served]})

    async def _load(self, request: Request) -> Response:
        body = await request.json()
        if not os.path.isfile(os.path.join(body["lora_path"], "adapter_model.safetensors")):
            return JSONResponse({"error": {"message": "no such adapter"}}, 404)
        self.loaded[body["lora_name"]] = body["lora_path"]
        self.served.append(body["lora_name"])
        return Response("Success", media_type="text/plain")

    async def _activation(self, request: Request) -> Response:
        return JSONResponse({"detail": "Unknown or expired activation handle" if self.lens else "Not Found"}, 404)

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        fault = self.faults.popleft() if self.faults else None
        if fault == "hang":
            self.hanging.release()
            while not await request.is_disconnected():
                await asyncio.sleep(0.01)
            self.taken_back.set()
        if fault == "cut":
            return StreamingResponse(_cut_short(), headers={"content-length": "1000"})
        if isinstance(fault, int):
            return JSONResponse({"error": {"message": "Requested logprobs of 30, at most 20"}}, fault)
        if body["model"] not in self.served:
            return JSONResponse({"error": {"message": "no such model"}}, 404)
        if len(body["prompt"]) + body["max_tokens"] > self.context:
            return JSONResponse({"error": {"message": "too long"}}, 400)
        return JSONResponse(reply(body, self.answer(body)))

    def answer(self, body: dict[str, Any]) -> list[int]:
        """What a model says: decided by prompt, temperature, seed, edits and the model's place among those served.

        Not by its name, which tells of the files and so of the folder that a test was given: the same test must play
        the same answers every time.
        """
        drawn = (body.get("seed") if body["temperature"] else None, body.get("vllm_xargs"))
        key = hashlib.sha256(json.dumps([self.served.index(body["model"]), body["prompt"], drawn]).encode()).digest()
        generator = random.Random(key)
        said = [generator.randrange(10, VOCAB) for _ in range(generator.randrange(1, 30))]
        return [*said, END][: body["max_tokens"]]


def reply(body: dict[str, Any], ids: list[int]) -> dict[str, Any]:
    """The reply to a request that is answered with the tokens `ids`."""
    stop = bool(ids) and ids[-1] in body.get("stop_token_ids", ())
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop" if stop else "length", "text": "", "logprobs": None}
    if body.get("return_token_ids"):
        choice["token_ids"] = ids
    if body.get("prompt_logprobs") is not None:
        choice["prompt_logprobs"] = [None, *(place(token, body["prompt_logprobs"]) for token in body["prompt"][1:])]
    if body.get("logprobs") == -1:
        choice["logprobs"] = {"top_logprobs": [{f"token_id:{token}": log for token, log in enumerate(LOGS)}]}
    told: dict[str, Any] = {"choices": [choice]}
    if wanted := body.get("vllm_xargs", {}).get("output_residual_stream"):
        told["activations"] = {"residual_stream": packed(stream(body["prompt"], json.loads(wanted)))}
    return told


def place(token: int, top_k: int) -> dict[str, Any]:
    """Log-probabilities at one place of a prompt, as vLLM tells them."""
    shown = [token, *(VOCAB - 1 - rank for rank in range(top_k))]
    return {str(one): {"logprob": LOGS[one], "rank": VOCAB - one, "decoded_token": "?"} for one in shown}


def stream(prompt: list[int], layers: list[int]) -> Any:
    """`[layers, positions, d_model]`: 10 times the layer, and the token's number."""
    return np.array([[[10 * layer + token] * WIDTH for token in prompt] for layer in layers], dtype=np.float32)


def packed(array: Any) -> dict[str, Any]:
    """As vllm-lens sends bfloat16."""
    bits = (array.view(np.uint32) >> 16).astype(np.uint16).view(np.int16)
    data = base64.b64encode(zstandard.ZstdCompressor().compress(bits.tobytes())).decode()
    shape = list(array.shape)
    told = {"data": data, "dtype": "int16", "original_dtype": "torch.bfloat16", "shape": shape, "compression": "zstd"}
    return told


async def _cut_short() -> AsyncIterator[bytes]:
    yield b"{"
    raise ConnectionResetError


def main() -> None:
    """Start as `python -m vllm.entrypoints.openai.api_server` does, with a process below."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--served-model-name")
    parser.add_argument("--port", type=int)
    parser.add_argument("--break", dest="breaks", action="store_true")
    parser.add_argument("--sleep", action="store_true")
    options, _ = parser.parse_known_args()
    print("arguments:", *sys.argv[1:], flush=True)
    if options.breaks:
        print("CUDA out of memory", flush=True)
        sys.exit(3)
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    if options.sleep:
        threading.Event().wait()
    fake = Fake(options.served_model_name, api_key=os.environ["VLLM_API_KEY"])
    uvicorn.run(fake.app, host="127.0.0.1", port=options.port, log_level="critical")


if __name__ == "__main__":
    main()
