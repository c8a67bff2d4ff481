"""Speed of organism generation: our provider against Inspect's `hf/`, and mixed against single adapters.

    python benchmarks/generation.py

Every figure is a ratio of two measurements of the same run, since a machine may be shared. Uses the fruitfly organisms
that come with audit_env, or random ones of their size where they are not there. Writes `results/generation.json`.
"""

import dataclasses
import json
import math
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import wait
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessage, ChatMessageUser, GenerateConfig, Model, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver

from audit_env.catalog.files import Catalog
from audit_env.catalog.integrity import sha256
from audit_env.catalog.models import Card, Recipe, WeightsFile
from audit_env.runtime import cast
from audit_env.runtime.engine import threads
from audit_env.runtime.request import Request
from audit_env.runtime.sampling import Sampling
from audit_env.runtime.small.adapter import Adapter
from audit_env.runtime.small.base import Base

FAMILY = "fruitfly"
RESULTS = Path(__file__).parent / "results" / "generation.json"
SAMPLES, TURNS, ANSWER_TOKENS = 20, 4, 32
ROWS, PROMPT_TOKENS, NEW_TOKENS, REPEATS = 64, 32, 48, 5
FEW, MANY = 4, 8
"""Adapters in a mixed batch."""
BARS = {"over_hf": 4.0, "mixed": 0.8}

TOPICS = (
    *("soup", "bread", "tea", "music", "rain", "winter", "gardens", "trains", "books", "games"),
    *("cities", "rivers", "mountains", "breakfast", "football", "painting", "history", "medicine", "money", "holidays"),
)


@dataclasses.dataclass(frozen=True)
class Zoo:
    """What is measured."""

    name: str
    base: Path
    adapters: tuple[Path, ...]


def zoo(scratch: Path) -> Zoo:
    """The fruitfly base and its adapters; random ones of the same size for what is not there."""
    catalog = Catalog()
    cards = {one: catalog.card(one) for one in catalog.organism_ids() if one.startswith(f"{FAMILY}/")}
    base, name = scratch / "base", "random base"
    if f"{FAMILY}/base" in cards:
        base, name = catalog.folder(f"{FAMILY}/base"), f"{FAMILY} base"
    else:
        _save_random_base(base)
    adapters = tuple(catalog.folder(one) for one, card in cards.items() if card.base and card.weights)
    if len(adapters) >= FEW:
        return Zoo(f"{name}, {len(adapters)} shipped adapters", base, adapters)
    return Zoo(f"{name}, {MANY} random adapters", base, _save_random_adapters(base, scratch))


def _save_random_base(folder: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        vocab_size=_save_tokenizer(folder),
        max_position_embeddings=1024,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(str(folder))


def _save_random_adapters(base: Path, scratch: Path) -> tuple[Path, ...]:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", init_lora_weights=False)
    folders = tuple(scratch / f"adapter{number}" for number in range(MANY))
    for folder in folders:
        get_peft_model(LlamaForCausalLM.from_pretrained(base, dtype=torch.float32), lora).save_pretrained(str(folder))
    return folders


def _save_tokenizer(folder: Path, vocabulary: int = 2048) -> int:
    """A byte-level tokenizer without merges, filled up to the size of a real one."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    entries = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    entries += [f"<unused{number}>" for number in range(vocabulary - len(entries))]
    tokenizer = Tokenizer(models.BPE(vocab={entry: place for place, entry in enumerate(entries)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|bos|>", eos_token="<|end|>", pad_token="<|pad|>"
    )
    fast.chat_template = (
        "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|> {{ message['content'] }}<|end|>"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    fast.save_pretrained(str(folder))
    return len(fast)


@solver
def conversation() -> Solver:
    """Four turns about a topic, with the model of the eval."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        messages: list[ChatMessage] = [ChatMessageUser(content=f"What can you tell me about {state.input_text}?")]
        for _ in range(TURNS):
            output = await get_model().generate(messages)
            messages += [output.message, ChatMessageUser(content=f"And what else about {state.input_text}?")]
        return state

    return solve


def seconds_for(model: Model, log_dir: Path) -> float:
    """Wall time of the eval, without what is done once per process."""
    settings = GenerateConfig(temperature=0.0, max_tokens=ANSWER_TOKENS)
    options: dict[str, Any] = {"model": model, "log_dir": str(log_dir), "display": "none", "max_samples": 64}

    def run(count: int) -> float:
        task = Task(dataset=[Sample(input=topic) for topic in TOPICS[:count]], solver=conversation(), config=settings)
        start = time.perf_counter()
        [log] = eval(task, **options)
        if log.status != "success":
            raise RuntimeError(str(log.error))
        return time.perf_counter() - start

    run(1)
    return run(SAMPLES)


def against_hf(base: Path, log_dir: Path) -> dict[str, float]:
    """Best wall time of the same eval, greedy, through our provider and through `hf/`."""
    weights = WeightsFile(file="model.safetensors", sha256=sha256(base / "model.safetensors"))
    card = Card(id="bench/base", standing="base", weights=weights, recipe=Recipe(instil="none"), licence="MIT")
    cast.bind("t-00000000", card, base, base_folder=base, sham_folder=None)
    ours = get_model(cast.model_name("t-00000000"), memoize=False)
    hf = get_model("hf/base", memoize=False, model_path=str(base), tokenizer_path=str(base), do_sample=False)
    best = {"ours": math.inf, "hf": math.inf}
    for name in ("ours", "hf", "ours", "hf", "ours"):
        best[name] = min(best[name], seconds_for(ours if name == "ours" else hf, log_dir))
    return {
        "ours_seconds": round(best["ours"], 2),
        "hf_seconds": round(best["hf"], 2),
        "ratio": round(best["hf"] / best["ours"], 2),
    }


def mixed_against_single(zoo: Zoo) -> dict[str, dict[str, float]]:
    """Tokens per second of full batches, every row to the same length, with one adapter or several."""
    base = Base(zoo.base)
    base.model.shape = dataclasses.replace(base.model.shape, end_tokens=frozenset())
    adapters = [base.adapter(folder) for folder in zoo.adapters]
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(10, base.model.shape.vocab_size, (ROWS, PROMPT_TOKENS), generator=generator).tolist()

    def speed(chosen: Sequence[Adapter | None]) -> float:
        requests = [
            Request(tuple(prompt), chosen[row % len(chosen)], Sampling(row), NEW_TOKENS)
            for row, prompt in enumerate(prompts)
        ]
        start = time.perf_counter()
        base.engine.generate(requests)
        wait([request.future for request in requests])
        return ROWS * NEW_TOKENS / (time.perf_counter() - start)

    kinds: dict[str, Sequence[Adapter | None]] = {"no adapter": [None], "one adapter": adapters[:1]}
    kinds |= {f"{count} adapters": adapters[:count] for count in sorted({FEW, len(adapters)})}
    best = dict.fromkeys(kinds, 0.0)
    for _ in range(1 + REPEATS):  # in turns, and the best of each, so that other load of the machine weighs little
        for kind, chosen in kinds.items():
            best[kind] = max(best[kind], speed(chosen))
    base.engine.close()
    return {
        kind: {"tokens_per_second": round(found), "over_one_adapter": round(found / best["one adapter"], 2)}
        for kind, found in best.items()
    }


def main() -> None:
    """Measure, print a table, write the results."""
    with tempfile.TemporaryDirectory() as scratch:
        measured = zoo(Path(scratch))
        provider = against_hf(measured.base, Path(scratch) / "logs")
        adapters = mixed_against_single(measured)
    mixed = min(found["over_one_adapter"] for kind, found in adapters.items() if kind.endswith("adapters"))
    passed = {"over_hf": provider["ratio"] >= BARS["over_hf"], "mixed": mixed >= BARS["mixed"]}
    machine = {"cores": os.cpu_count(), "threads": threads(), "python": platform.python_version()}
    result = {
        "zoo": measured.name,
        "machine": machine | {"torch": torch.__version__},
        "against_hf": provider,
        "adapters": adapters,
        "bars": BARS,
        "passed": passed,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{measured.name}; {machine['cores']} cores, {machine['threads']} torch thread(s)\n")
    print(f"{SAMPLES} samples x {TURNS} turns, greedy, at most {ANSWER_TOKENS} tokens an answer    seconds")
    print(f"  our provider {provider['ours_seconds']:51.2f}\n  Inspect's hf/ {provider['hf_seconds']:50.2f}")
    print(f"  ratio {provider['ratio']:58.2f}   bar {BARS['over_hf']}: {_verdict(passed['over_hf'])}\n")
    print(f"{ROWS} rows, {PROMPT_TOKENS} + {NEW_TOKENS} tokens       tokens/s   over one adapter")
    for kind, found in adapters.items():
        print(f"  {kind:24} {found['tokens_per_second']:10,} {found['over_one_adapter']:18.2f}")
    print(f"  least of the mixed ones {mixed:30.2f}   bar {BARS['mixed']}: {_verdict(passed['mixed'])}")


def _verdict(passed: bool) -> str:
    return "met" if passed else "MISSED"


if __name__ == "__main__":
    main()
