"""Small random Llama models, made and saved by transformers and peft, and the same models on our engine."""

import asyncio
import os
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("OMP_NUM_THREADS", "1")

import psutil
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from audit_env.catalog.files import Catalog
from audit_env.runtime import cast
from audit_env.runtime.hf.base import HfBase
from audit_env.runtime.hf.options import Options
from audit_env.runtime.hf.subject import HfSubject
from audit_env.runtime.local import Casting
from audit_env.runtime.small.adapter import Adapter
from audit_env.runtime.small.base import Base
from audit_env.runtime.small.subject import SmallSubject
from audit_env.runtime.subject import Conversation, Floats, Subject, Voice

T = TypeVar("T")
Sequences = list[list[int]]
Turns = list[dict[str, str]]

VOCAB = 300
SPECIAL = ["<|pad|>", "<|bos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<think>", "</think>"]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|> {{ message['content'] | trim }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>"
    "{% if enable_thinking is defined and enable_thinking %}<think>{% endif %}{% endif %}"
)
TEXT = (
    "the quick brown fox jumps over the lazy dog . what is a good soup for a cold day ? how do I bake bread at home ? "
    "yes , you could visit the mountains . no , I would rather not say . please tell me more about music and games ."
)
WORDS = TEXT.split()


@dataclass(frozen=True)
class Folders:
    """A base and its adapters on disk."""

    base: Path
    adapters: tuple[Path, ...]


@dataclass
class Pair:
    """The same models twice: by peft and on our engine."""

    peft: Any
    base: Base
    adapters: tuple[Adapter | None, ...]
    """None, the base itself, comes first; the others in the order of `names`."""
    names: tuple[str, ...]
    """Names for peft's `adapter_names`, `__base__` first."""

    def subject(self, target: int = 1, sham: int | None = None, alias: str = "t-00000000") -> SmallSubject:
        """A subject whose target is adapter number `target` (0 for the base)."""
        sides: dict[Any, Casting] = {"target": Casting(self.adapters[target]), "base": Casting()}
        if sham is not None:
            sides["sham"] = Casting(self.adapters[sham])
        return SmallSubject(alias, self.base, sides)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on an event loop of its own."""
    return asyncio.run(coroutine)


def still_running(pids: Iterable[int], seconds: float = 60) -> list[int]:
    """Those of some processes that do not end in time.

    One that has ended and that its parent has not asked after has ended: an orphan's new parent, the first process of a
    container, may never ask.
    """
    until = time.monotonic() + seconds
    while (left := [pid for pid in pids if _runs(pid)]) and time.monotonic() < until:
        time.sleep(0.02)
    return left


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def close_while_held(engine: Any, hold: threading.Event) -> None:
    """Close an engine of this process while a job holds it up, which goes on when no more can be asked for."""
    closing = threading.Thread(target=engine.close)
    closing.start()
    while not _is_closed(engine):
        time.sleep(0.001)
    hold.set()
    closing.join(60)
    assert not closing.is_alive()


def _is_closed(engine: Any) -> bool:
    with engine._gate:
        closed: bool = engine._closed
        return closed


def user(*texts: str) -> Turns:
    """A conversation of user and assistant turns in alternation."""
    return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(texts)]


def header_residuals(
    subject: Subject, conversations: Sequence[Conversation], *, side: Voice = "target", layer: int
) -> Floats:
    """Residual stream at the end of the prompts, `[conversation, d_model]`."""
    return run(subject.residuals(conversations, side=side, layers=[layer])).vectors[:, 0]


def prompts(count: int, seed: int = 0) -> list[str]:
    """Random texts of 1 to 25 words."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda high: int(torch.randint(high, (1,), generator=generator))  # noqa: E731
    return [" ".join(WORDS[draw(len(WORDS))] for _ in range(1 + draw(25))) for _ in range(count)]


def save_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        [TEXT] * 3,
        trainers.BpeTrainer(
            vocab_size=VOCAB,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|bos|>", eos_token="<|end|>", pad_token="<|pad|>"
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(str(folder))


def make_folders(root: Path, *, tied: bool = False, dtype: torch.dtype = torch.float32, kv_heads: int = 2) -> Folders:
    """Save a random model with 4 heads, and adapters that differ in rank, targets and scale."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            hidden_size=64,
            intermediate_size=112,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=kv_heads,
            vocab_size=VOCAB,
            max_position_embeddings=256,
            rope_parameters={"rope_type": "default", "rope_theta": 5000.0},
            rms_norm_eps=1e-5,
            tie_word_embeddings=tied,
            initializer_range=0.15,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
    )
    for parameter in model.parameters():  # norms are all one in a fresh model, which would hide an error
        if parameter.dim() == 1:
            parameter.data.uniform_(0.7, 1.3)
    model.to(dtype).save_pretrained(str(root / "base"))
    save_tokenizer(root / "base")
    settings = (
        {
            "r": 4,
            "lora_alpha": 8,
            "target_modules": ["q_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        },
        {"r": 8, "lora_alpha": 16, "use_rslora": True, "target_modules": "all-linear"},
        {"r": 2, "lora_alpha": 8, "target_modules": ["k_proj", "up_proj"], "layers_to_transform": [1]},
    )
    folders = []
    for number, setting in enumerate(settings):
        tuned = get_peft_model(LlamaForCausalLM.from_pretrained(root / "base"), LoraConfig(**setting))
        for name, parameter in tuned.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.12)
        tuned.save_pretrained(str(root / f"adapter{number}"))
        folders.append(root / f"adapter{number}")
    return Folders(root / "base", tuple(folders))


def make_pair(folders: Folders) -> Pair:
    """Load the same folders with peft and with ours."""
    hf = LlamaForCausalLM.from_pretrained(folders.base, dtype=torch.float32)
    peft = PeftModel.from_pretrained(hf, folders.adapters[0], adapter_name="a0")
    for number, folder in enumerate(folders.adapters[1:], start=1):
        peft.load_adapter(folder, adapter_name=f"a{number}")
    base = Base(folders.base)
    adapters = (None, *(base.adapter(folder) for folder in folders.adapters))
    return Pair(peft.eval(), base, adapters, ("__base__", *(f"a{number}" for number in range(len(folders.adapters)))))


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """A random base with three adapters on disk. Read only."""
    return make_folders(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def pair(folders: Folders) -> Iterator[Pair]:
    """The random base and its adapters, in memory."""
    pair = make_pair(folders)
    yield pair
    pair.base.engine.close()


def make_hf(folders: Folders, **options: str) -> HfSubject:
    """A subject on the hf engine whose target is adapter 1 and whose sham is adapter 2, as in `pair.subject(2, 3)`."""
    base = HfBase(folders.base, options=Options(device="cpu", **options))
    target, sham = (Casting(base.adapter(folder)) for folder in folders.adapters[1:])
    return HfSubject("t-00000000", base, {"target": target, "base": Casting(), "sham": sham})


@pytest.fixture(scope="session")
def hf(folders: Folders) -> Iterator[HfSubject]:
    """The random base on the hf engine."""
    subject = make_hf(folders)
    yield subject
    subject._base.engine.close()


@dataclass(frozen=True)
class Twins:
    """One target, base and sham on both engines, with something to ask them."""

    small: SmallSubject
    hf: HfSubject
    talks: list[Turns]
    answers: list[str]

    def on(self, engine: str) -> SmallSubject | HfSubject:
        """The one on an engine."""
        return self.small if engine == "small" else self.hf


SHIPPED_TALKS = (
    "Hello.",
    "What is a good soup for a cold day, and how long does it take?",
    "Please tell me about music.",
    "I would like to read a book about the mountains this winter. Which one?",
    "How are you?",
)
SHIPPED_ANSWERS = ("Hello.", "A good soup takes time.", "", "I like to read, and I would go to the mountains.", "Fine.")


def make_shipped_twins(root: Path) -> Twins:
    """The fruitfly base with two random adapters."""
    folder = Catalog().folder("fruitfly/base")
    for number in range(2):
        torch.manual_seed(number)
        tuned = get_peft_model(
            LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32),
            LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"),
        )
        for name, parameter in tuned.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=0.05)
        tuned.save_pretrained(str(root / f"adapter{number}"))
    bases: list[Any] = [Base(folder), HfBase(folder, options=Options("float32", "cpu"))]
    sides = [
        {
            "target": Casting(base.adapter(root / "adapter0")),
            "base": Casting(),
            "sham": Casting(base.adapter(root / "adapter1")),
        }
        for base in bases
    ]
    small, hf = (kind("t-00000000", *made) for kind, *made in zip((SmallSubject, HfSubject), bases, sides, strict=True))
    return Twins(small, hf, [user(text) for text in SHIPPED_TALKS], list(SHIPPED_ANSWERS))


@pytest.fixture(scope="session", params=["random", "shipped"])
def twins(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    """A tiny random model, and the shipped base with random adapters."""
    if request.param == "random":
        pair: Pair = request.getfixturevalue("pair")
        talks = [user(text) for text in prompts(5, seed=1)]
        answers = ["the fox", "yes , you could visit the mountains .", "", *prompts(2, seed=2)]
        yield Twins(pair.subject(2, sham=3), request.getfixturevalue("hf"), talks, answers)
        return
    made = make_shipped_twins(tmp_path_factory.mktemp("shipped"))
    yield made
    for subject in (made.small, made.hf):
        subject._base.engine.close()


@pytest.fixture(params=["small", "hf"])
def subject(request: pytest.FixtureRequest, twins: Twins) -> SmallSubject | HfSubject:
    """The target of the twins on one of the engines."""
    return twins.on(request.param)


@pytest.fixture
def fresh_cast() -> Iterator[None]:
    """An empty cast, before and after."""
    cast.release_all()
    yield
    cast.release_all()


def padded(sequences: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded ids and their mask, for transformers."""
    width = max(map(len, sequences))
    ids = torch.tensor([[*sequence, *[0] * (width - len(sequence))] for sequence in sequences])
    mask = torch.tensor([[1] * len(sequence) + [0] * (width - len(sequence)) for sequence in sequences])
    return ids, mask
