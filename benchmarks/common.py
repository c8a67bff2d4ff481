"""What benchmarks share: the organisms, taking turns, and where results go.

Every figure is a ratio of two measurements of the same run, taken in turns, since a machine may be shared: of each pair
of turns the ratio, and of the ratios the median, the least and the greatest.
"""

import dataclasses
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("AUDIT_ENV_THREADS", "1")  # as many as those who are compared with it have: no reader beside
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["AUDIT_ENV_CACHE"] = "off"

import torch

from audit_env.catalog.files import Catalog
from audit_env.runtime.engine import threads

FAMILY = "fruitfly"
RESULTS = Path(__file__).parent / "results"
FEW, MANY = 4, 8
"""Adapters in a mixed batch, and random ones that are made where none are shipped."""

TOPICS = (
    *("soup", "bread", "tea", "music", "rain", "winter", "gardens", "trains", "books", "games"),
    *("cities", "rivers", "mountains", "breakfast", "football", "painting", "history", "medicine", "money", "holidays"),
)


def spread(values: Sequence[float], digits: int = 2) -> dict[str, float]:
    """Median, least and greatest."""
    found = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: round(value, digits) for name, value in found.items()}


class Spent(NamedTuple):
    """Seconds of each way in each round."""

    wall: dict[Any, list[float]]
    processor: dict[Any, list[float]]
    """Of this process."""


def in_turns(ways: Mapping[Any, Callable[[], Any]], rounds: int) -> Spent:
    """Time each way in each round, after one round that does not count."""
    spent = Spent({name: [] for name in ways}, {name: [] for name in ways})
    for number in range(1 + rounds):
        for name, way in ways.items():
            starts = time.perf_counter(), time.process_time()
            way()
            if number:
                spent.wall[name].append(time.perf_counter() - starts[0])
                spent.processor[name].append(time.process_time() - starts[1])
    return spent


def ratios(slow: Sequence[float], fast: Sequence[float]) -> list[float]:
    """How many times as long the one took as the other, round by round."""
    return [one / other for one, other in zip(slow, fast, strict=True)]


def save(name: str, result: Mapping[str, Any]) -> None:
    """Write `results/<name>.json`, with the machine, and print it."""
    machine = {"cores": os.cpu_count(), "threads": threads(), "python": platform.python_version()}
    machine |= {"load": round(os.getloadavg()[1], 1)}  # how many processes wanted a core in the last five minutes
    found = {"machine": machine | {"torch": torch.__version__}, **result}
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(found, indent=2) + "\n"
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")
    print(text)


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
