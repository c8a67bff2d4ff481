"""Subjects whose answers the disk keeps from one run to the next."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from audit_env.catalog.files import Catalog
from audit_env.phenotype.bench import shelved
from audit_env.runtime import cast, computing
from audit_env.runtime.answers import Answers, Keep
from audit_env.runtime.edits import Add
from audit_env.runtime.hf.base import HfBase
from audit_env.runtime.hf.options import Options
from audit_env.runtime.hf.subject import HfSubject
from audit_env.runtime.local import Casting
from audit_env.runtime.request import Request
from audit_env.runtime.small.base import Base
from audit_env.runtime.small.subject import SmallSubject
from audit_env.runtime.subject import SIDES, Dose

from .conftest import Folders, run, user

CPU = Options("float32", "cpu")
TALKS = [user("what is a good soup ?"), user("tell me more", "yes", "please")]


class Run:
    """What a process of its own would have: a base that remembers nothing, and the cache that all of them share."""

    def __init__(self, engine: str, folders: Folders, cache: Path, keep: Keep) -> None:
        self.base: Any = Base(folders.base) if engine == "small" else HfBase(folders.base, options=CPU)
        self.kept = Answers(cache, keep=keep)
        target, sham = (Casting(self.base.adapter(folder)) for folder in folders.adapters[:2])
        kind: Any = SmallSubject if engine == "small" else HfSubject
        sides = {"target": target, "base": Casting(), "sham": sham}
        self.subject = kind("t-00000000", self.base, sides, kept=self.kept)
        self.computed = 0
        self._generate = self.base.engine.generate
        self.base.engine.generate = self._counting

    def _counting(self, requests: Sequence[Request[Any]]) -> None:
        self.computed += len(requests)
        self._generate(requests)

    def say(self, **options: Any) -> Any:
        return run(self.subject.generate(TALKS, **{"temperature": 0, "max_tokens": 12, **options}))


@pytest.fixture
def start(folders: Folders, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    def make(engine: str = "small", keep: Keep = "greedy", folders: Folders = folders) -> Run:
        made = Run(engine, folders, tmp_path / "cache", keep)
        stack.callback(made.base.engine.close)
        return made

    with ExitStack() as stack:
        yield make


@pytest.mark.parametrize("engine", ["small", "hf"])
def test_a_later_run_computes_no_greedy_answer_again(start: Callable[..., Run], engine: str) -> None:
    asked: list[dict[str, Any]] = [{"side": side} for side in SIDES]
    asked += [{"prefill": "soup is"}, {"max_tokens": 5}, {"thinking": True}]
    first, second = start(engine), start(engine)
    said = [first.say(**each) for each in asked]
    assert first.computed == len(asked) * len(TALKS)  # sides, limits and prompts are told apart
    assert [second.say(**each) for each in asked] == said
    assert [second.say(**each) for each in asked[::-1]] == said[::-1]
    assert second.computed == 0
    assert second.kept.stock().answers == first.computed


def test_engines_do_not_take_each_others_answers(start: Callable[..., Run]) -> None:
    start("small").say()
    other = start("hf")
    other.say()
    assert other.computed == len(TALKS)


def test_texts_and_user_turns_are_kept_as_well(start: Callable[..., Run]) -> None:
    def said(one: Run) -> Any:
        how = {"temperature": 0, "max_tokens": 9}
        return run(one.subject.complete(["good soup"], **how)), run(one.subject.user_turns(TALKS, **how))

    first, second = start(), start()
    assert said(first) == said(second) and (first.computed, second.computed) == (3, 0)


def test_only_the_missing_answers_of_a_call_are_computed(start: Callable[..., Run]) -> None:
    first, second = start(), start()
    run(first.subject.generate(TALKS[1:], temperature=0, max_tokens=12))
    assert second.say(n=2) == start().say(n=2)
    assert second.computed == 1  # the two greedy answers to one prompt are the same


def test_sampled_answers_are_kept_if_that_is_wanted_by_seed_and_number(start: Callable[..., Run]) -> None:
    first, second, third = start(), start(), start(keep="all")
    assert first.say(temperature=1.0, n=2) == second.say(temperature=1.0, n=2) == third.say(temperature=1.0, n=2)
    assert (first.computed, second.computed, third.computed) == (4, 4, 4)
    fourth = start(keep="all")
    assert fourth.say(temperature=1.0, n=2) == third.say(temperature=1.0, n=2) and fourth.computed == 0
    assert fourth.say(temperature=1.0, n=3, seed=1) != fourth.say(temperature=1.0, n=3)
    assert fourth.computed == 3 * 2 + 2  # and the third answers of seed 0


@pytest.mark.parametrize("changed", ["edits", "dose", "amplify", "off"])
def test_what_is_changed_and_what_is_not_wanted_is_neither_kept_nor_taken(
    start: Callable[..., Run], changed: str
) -> None:
    first = start(keep="off" if changed == "off" else "greedy")
    vector = first.subject.embedding()[5]
    options = {
        "edits": {"edits": [Add(1, vector, scale=9.0)]},
        "dose": {"side": Dose(scale=3.0)},
        "amplify": {"amplify": 3.0},
        "off": {},
    }[changed]
    said = first.say(**options)
    assert first.say(**options) == said and first.computed == 2 * len(TALKS)
    assert not first.kept.path.exists()
    if changed != "off":
        plain = first.say()
        assert first.say(**options) == said != plain


def test_a_dose_that_is_the_side_takes_its_answers(start: Callable[..., Run]) -> None:
    said, second = start().say(), start()
    assert second.say(side=Dose()) == said and second.computed == 0


def test_other_weights_in_the_same_folder_are_asked_anew(
    start: Callable[..., Run], folders: Folders, tmp_path: Path
) -> None:
    mine = tmp_path / "adapter"
    shutil.copytree(folders.adapters[0], mine)
    changed = Folders(folders.base, (mine, folders.adapters[1]))
    before = start(folders=changed).say()
    weights = mine / "adapter_model.safetensors"
    save_file({name: -3 * tensor for name, tensor in load_file(weights).items()}, weights, metadata={"format": "pt"})
    later = start(folders=changed)
    assert later.say() != before and later.computed == len(TALKS)
    assert later.say(side="sham") and later.computed == 2 * len(TALKS)


@pytest.mark.usefixtures("fresh_cast")
def test_the_cast_uses_the_users_cache_but_for_measurements(
    zoo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIT_ENV_CACHE", "greedy")
    monkeypatch.setenv("AUDIT_ENV_CACHE_DIR", str(tmp_path / "cache"))
    catalog = Catalog(zoo.root)
    monkeypatch.setattr(cast, "_catalog", lambda: catalog)
    talk = [user("what is soup ?")]

    def planted(subject: Any) -> bool:
        """Whether an answer that was put in the place of the kept one is served."""
        return run(subject.generate(talk, temperature=0, max_tokens=8))[0][0].text == "planted"

    name = "tiny/gloom.a"
    [[said]] = run(cast.subject(name).generate(talk, temperature=0, max_tokens=8))
    kept = computing._answers()
    [stored] = kept._within(lambda db: db.execute("SELECT key FROM answers").fetchall())
    run(kept.put(stored[0], type(said)("planted", said.ids, said.stop, said.prompt_tokens)))
    assert planted(cast.subject(name))
    assert not planted(cast.subject(name, anew=True))
    assert not planted(shelved(catalog, name).subject)
    assert kept.stock().answers == 1
    cast.release_all()
    monkeypatch.setenv("AUDIT_ENV_CACHE", "off")
    assert not planted(cast.subject(name))
