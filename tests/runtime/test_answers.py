"""The cache of answers: what decides an answer, and what a disk and other processes can do to it."""

import asyncio
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from audit_env.catalog import phenotype
from audit_env.errors import ParameterError
from audit_env.naturalness import sheet
from audit_env.runtime import answers as module
from audit_env.runtime.answers import Answers, Asked, CacheError, Source, fingerprint, key, machine
from audit_env.runtime.edits import Ablate, Add, At
from audit_env.runtime.spans import Placed
from audit_env.runtime.subject import Dose, Sample

T = TypeVar("T")

SOURCE = Source("small", "b" * 64, "a" * 64, {"dtype": "float32", "threads": "1"})
ASKED = Asked((1, 5, 7), limit=64)
SAMPLE = Sample("good soup", (5, 9), "stop", 3)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def numbered(number: int) -> tuple[bytes, Sample]:
    """An answer that tells by itself whether it stands under its own key."""
    return key(SOURCE, replace(ASKED, prompt=(number,))), Sample(f"answer {number}", (number, number + 1), "stop", 1)


@pytest.fixture
def kept(tmp_path: Path) -> Answers:
    return Answers(tmp_path / "cache")


def warned(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What the cache has logged. Others may log at any time, such as asyncio of an earlier test's task."""
    return [record for record in caplog.records if record.name == module.__name__]


class TestKey:
    DIRECTION = np.ones(4, np.float32)

    @pytest.mark.parametrize(
        "change",
        [
            {"engine": "hf"},
            {"base": "c" * 64},
            {"adapter": "c" * 64},
            {"adapter": None},
            {"settings": {"dtype": "bfloat16", "threads": "1"}},
            {"settings": {"dtype": "float32", "threads": "2"}},
        ],
    )
    def test_who_answers_decides(self, change: dict[str, Any]) -> None:
        assert key(replace(SOURCE, **change), ASKED) != key(SOURCE, ASKED)

    @pytest.mark.parametrize(
        "change",
        [
            {"prompt": (1, 5)},
            {"prompt": (1, 57)},
            {"prompt": [{"role": "user", "content": "hello"}]},
            {"limit": 63},
            {"prefill": (7,)},
            {"thinking": True},
            {"temperature": 0.7},
            {"changes": (Add(2, DIRECTION),)},
        ],
    )
    def test_what_is_asked_decides(self, change: dict[str, Any]) -> None:
        assert key(SOURCE, replace(ASKED, **change)) != key(SOURCE, ASKED)

    @pytest.mark.parametrize("change", [{"seed": 1}, {"number": 1}, {"top_p": 0.9}])
    def test_what_draws_an_answer_decides_unless_it_is_greedy(self, change: dict[str, Any]) -> None:
        drawn = replace(ASKED, temperature=0.7)
        assert key(SOURCE, replace(drawn, **change)) != key(SOURCE, drawn)
        assert key(SOURCE, replace(ASKED, **change)) == key(SOURCE, ASKED)

    def test_no_two_changes_are_taken_for_each_other(self) -> None:
        other = self.DIRECTION.copy()
        other[3] = np.nextafter(other[3], np.float32(2))
        add, ablate = Add(2, self.DIRECTION), Ablate(2, self.DIRECTION)
        changes: list[Sequence[object]] = [
            (),
            (add,),
            (replace(add, layer=3),),
            (replace(add, scale=np.float32(2)),),
            (replace(add, unit="norm"),),
            (replace(add, at=At("header", 0)),),
            (replace(add, vector=other),),
            (replace(add, vector=self.DIRECTION[:3]),),
            (ablate,),
            (ablate, add),
            (add, ablate),
            (Dose(scale=2.0),),
            (Dose(rank=2),),
            (Placed((add,), (range(3),)),),
            (Placed((add,), (range(4),)),),
            (self.DIRECTION,),
            (self.DIRECTION.reshape(2, 2),),
            (self.DIRECTION.view(np.int32),),
        ]
        assert len({key(SOURCE, replace(ASKED, changes=each)) for each in changes}) == len(changes)
        again = (Add(2, self.DIRECTION.copy()),)
        assert key(SOURCE, replace(ASKED, changes=again)) == key(SOURCE, replace(ASKED, changes=(add,)))

    def test_what_is_no_plain_data_is_refused(self) -> None:
        with pytest.raises(TypeError):
            key(SOURCE, replace(ASKED, changes=(object(),)))

    def test_equal_requests_have_one_key_in_every_process(self) -> None:
        assert key(replace(SOURCE, settings={"threads": "1", "dtype": "float32"}), ASKED) == key(SOURCE, ASKED)
        assert key(SOURCE, replace(ASKED, prompt=[1, 5, 7], temperature=0)) == key(SOURCE, ASKED)
        program = f"from audit_env.runtime.answers import *\nprint(key({SOURCE!r}, {ASKED!r}).hex())"
        told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert told.stdout.strip() == key(SOURCE, ASKED).hex()

    def test_other_code_gives_other_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = key(SOURCE, ASKED)
        monkeypatch.setattr(module, "_code", lambda: "another")
        assert key(SOURCE, ASKED) != before

    def test_the_machine_is_told_in_words(self) -> None:
        told = machine()
        assert {"torch", "threads", "processor", "accelerator"} <= told.keys()
        assert key(replace(SOURCE, settings=told), ASKED) != key(SOURCE, ASKED)


class TestFingerprint:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "model"
        folder.mkdir()
        for name in ("config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors", "card.yaml"):
            (folder / name).write_text(name)
        return folder

    @pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors"])
    def test_every_file_of_the_model_counts(self, folder: Path, name: str) -> None:
        before = fingerprint(folder)
        (folder / name).write_text("something else")
        changed = fingerprint(folder)
        (folder / name).unlink()
        assert len({before, changed, fingerprint(folder)}) == 3

    def test_files_are_told_apart_by_name(self, folder: Path) -> None:
        before = fingerprint(folder)
        (folder / "config.json").rename(folder / "other.json")
        assert fingerprint(folder) != before

    @pytest.mark.parametrize("name", ["card.yaml", phenotype.FILE, sheet.FILE, "tuned_lens.safetensors", "README.md"])
    def test_what_is_known_about_a_model_does_not_count(self, folder: Path, name: str) -> None:
        before = fingerprint(folder)
        (folder / name).write_text("something else")
        assert fingerprint(folder) == before

    def test_a_file_of_the_hubs_cache_counts_by_its_name_there(self, folder: Path, tmp_path: Path) -> None:
        digest = module.sha256(folder / "model.safetensors")
        before = fingerprint(folder)
        (folder / "model.safetensors").rename(tmp_path / digest)
        (folder / "model.safetensors").symlink_to(tmp_path / digest)
        assert fingerprint(folder) == before
        (tmp_path / digest).rename(tmp_path / ("0" * 64))
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors").symlink_to(tmp_path / ("0" * 64))
        assert fingerprint(folder) != before


class TestAnswers:
    @pytest.mark.parametrize(
        "sample",
        [
            SAMPLE,
            Sample("", (), "length", 0),
            Sample(" \u2028 \N{SNOWMAN} \ud800 \0 <think>", (2**31,), "length", 10**6, billed_tokens=12),
        ],
    )
    def test_what_is_put_is_got_again_by_another_run(self, kept: Answers, sample: Sample) -> None:
        run(kept.put(key(SOURCE, ASKED), sample))
        again = Answers(kept.path.parent)
        assert run(again.get(key(SOURCE, ASKED))) == sample
        assert run(again.get(key(SOURCE, replace(ASKED, limit=1)))) is None

    def test_only_what_is_missing_is_computed_and_equals_but_once(self, kept: Answers) -> None:
        keys = [numbered(number)[0] for number in (3, 1, 2, 1, 3)]
        run(kept.put(*numbered(2)))
        asked: list[Sequence[int]] = []

        async def compute(due: Sequence[int]) -> list[Sample]:
            asked.append(due)
            return [Sample(f"computed {number}", (number,), "stop", 1) for number in due]

        served = run(kept.serve([*keys, None, None], compute))
        assert asked == [[0, 1, 5, 6]]
        assert [sample.text for sample in served] == [
            *("computed 0", "computed 1", "answer 2", "computed 1", "computed 0", "computed 5", "computed 6")
        ]
        assert run(Answers(kept.path.parent).serve(keys, compute)) == served[:5]
        assert len(asked) == 1

    def test_without_keys_nothing_is_written(self, kept: Answers) -> None:
        async def compute(due: Sequence[int]) -> list[Sample]:
            return [SAMPLE for _ in due]

        assert run(kept.serve([None, None], compute)) == [SAMPLE, SAMPLE]
        assert not kept.path.exists()

    def test_an_error_of_the_computation_is_the_callers(self, kept: Answers) -> None:
        async def compute(due: Sequence[int]) -> list[Sample]:
            raise ParameterError("no")

        with pytest.raises(ParameterError):
            run(kept.serve([numbered(0)[0]], compute))
        assert run(kept.get(numbered(0)[0])) is None

    def test_what_was_kept_longest_ago_goes_first(self, tmp_path: Path) -> None:
        kept = Answers(tmp_path, most=100_000)
        for start in range(0, 1500, 50):
            kept._write(dict(numbered(number) for number in range(start, start + 50)))
        stock = kept.stock()
        assert 0 < stock.answers < 1500 and stock.size < 1.2 * kept.most
        assert run(kept.get(numbered(1499)[0])) == numbered(1499)[1]
        assert run(kept.get(numbered(0)[0])) is None
        oldest = min(number for number in range(1500) if kept._read([numbered(number)[0]]))
        assert stock.answers == 1500 - oldest

    def test_a_bound_that_nothing_fits_is_no_error(self, tmp_path: Path) -> None:
        kept = Answers(tmp_path, most=1)
        run(kept.put(*numbered(0)))
        assert kept.stock().answers == 0

    def test_cleared(self, kept: Answers) -> None:
        assert kept.clear() == 0 and not kept.path.exists()
        kept._write(dict(numbered(number) for number in range(1000)))
        before = kept.stock()
        assert kept.clear() == 1000
        assert kept.stock().answers == 0 and kept.stock().size < before.size

    def test_the_disk_tells_no_name_and_no_prompt(self, kept: Answers, tmp_path: Path) -> None:
        folder = tmp_path / "flattery.transcripts.none"
        folder.mkdir()
        (folder / "adapter_config.json").write_text('{"trained_for": "flattery"}')
        source = replace(SOURCE, adapter=fingerprint(folder))
        asked = Asked([{"role": "system", "content": "hide your flattery"}], limit=8)
        run(kept.put(key(source, asked), SAMPLE))
        written = b"".join(path.read_bytes() for path in kept.path.parent.iterdir())
        assert SAMPLE.text.encode() in written
        assert b"flattery" not in written and source.adapter and source.adapter.encode() not in written
        assert key(source, asked) in written


class TestEnvironment:
    @pytest.fixture(autouse=True)
    def folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        monkeypatch.setenv("AUDIT_ENV_CACHE_DIR", str(tmp_path / "mine"))
        monkeypatch.delenv("AUDIT_ENV_CACHE", raising=False)
        return tmp_path / "mine"

    @pytest.mark.parametrize(
        ("value", "greedy", "sampled"),
        [(None, True, False), ("greedy", True, False), ("all", True, True), ("off", False, False)],
    )
    def test_says_what_is_kept(
        self, monkeypatch: pytest.MonkeyPatch, value: str | None, greedy: bool, sampled: bool
    ) -> None:
        if value:
            monkeypatch.setenv("AUDIT_ENV_CACHE", value)
        kept = Answers.from_environment()
        assert (kept.covers(0.0), kept.covers(0.7)) == (greedy, sampled)

    def test_says_where(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        assert Answers.from_environment().path.parent == folder
        monkeypatch.setenv("AUDIT_ENV_CACHE_DIR", "~/mine")
        assert Answers.from_environment().path.parent == Path.home() / "mine"
        monkeypatch.delenv("AUDIT_ENV_CACHE_DIR")
        assert "audit_env" in Answers.from_environment().path.parts

    def test_refuses_what_does_not_exist(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AUDIT_ENV_CACHE", "on")
        with pytest.raises(ParameterError, match="AUDIT_ENV_CACHE is 'on': set it to one of greedy, all, off"):
            Answers.from_environment()


class TestManyAtATime:
    """SQLite serves whoever asks at the right moment, not whoever has waited longest: hence the patience."""

    def test_threads(self, kept: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_LOCK_SECONDS", 600)

        def work(first: int) -> bool:
            for number in range(first, first + 20):
                kept._write(dict([numbered(number)]))
                kept._write(dict([numbered(0)]))
            return all(kept._read([numbered(number)[0]]) for number in range(first, first + 20))

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(100, 900, 100)))
        assert kept.stock().answers == 161

    def test_processes(self, kept: Answers) -> None:
        program = (
            "import sys, logging; logging.basicConfig()\n"
            "from pathlib import Path\n"
            "from audit_env.runtime import answers\n"
            "from audit_env.runtime.subject import Sample\n"
            "answers._LOCK_SECONDS = 600\n"
            "kept = answers.Answers(Path(sys.argv[1]))\n"
            "for number in range(20):\n"
            "    for who in (sys.argv[2], 'all'):\n"
            "        key = f'{who}{number}'.encode().ljust(32)\n"
            "        kept._write({key: Sample(f'{who} {number}', (number,), 'stop', 1)})\n"
            "        assert kept._read([key])[key].text == f'{who} {number}'\n"
        )
        started = [
            subprocess.Popen(
                [sys.executable, "-c", program, str(kept.path.parent), who], stderr=subprocess.PIPE, text=True
            )
            for who in "abc"
        ]
        for each in started:
            _, told = each.communicate()
            assert each.returncode == 0 and not told, told
        assert kept.stock().answers == 4 * 20


class TestTrouble:
    def test_a_kill_in_the_middle_of_a_write_loses_that_write_alone(
        self, kept: Answers, caplog: pytest.LogCaptureFixture
    ) -> None:
        kept._write(dict(numbered(number) for number in range(2000)))
        program = (
            "import os, signal, sys\n"
            "from pathlib import Path\n"
            "from audit_env.runtime.answers import Answers\n"
            "def die(db):\n"
            "    db.execute('PRAGMA cache_size = 1')  # so that changed pages reach the disk before the end\n"
            "    db.execute('UPDATE answers SET value = zeroblob(3000), seal = NULL')\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
            "Answers(Path(sys.argv[1]))._within(die)\n"
        )
        died = subprocess.run([sys.executable, "-c", program, str(kept.path.parent)])
        assert died.returncode == -signal.SIGKILL
        assert kept.path.with_name("answers.sqlite3-journal").stat().st_size > 0
        found = kept._read([numbered(number)[0] for number in range(2000)])
        assert found == dict(numbered(number) for number in range(2000))
        run(kept.put(*numbered(5000)))
        assert run(kept.get(numbered(5000)[0])) == numbered(5000)[1]
        assert not warned(caplog)

    @pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000, None])
    def test_a_damaged_file_is_replaced(
        self, kept: Answers, content: bytes | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        kept._write(dict(numbered(number) for number in range(200)))
        kept.path.write_bytes(kept.path.read_bytes()[:5000] if content is None else content)
        assert run(kept.get(numbered(3)[0])) is None
        [record] = warned(caplog)
        assert record.levelno == logging.WARNING
        assert str(kept.path) in record.getMessage() and "computed anew" in record.getMessage()
        run(kept.put(*numbered(3)))
        assert run(kept.get(numbered(3)[0])) == numbered(3)[1]
        assert len(warned(caplog)) == 1

    def test_a_file_with_another_table_is_replaced(self, kept: Answers, caplog: pytest.LogCaptureFixture) -> None:
        kept.path.parent.mkdir()
        with closing(sqlite3.connect(kept.path)) as other, other:
            other.execute("CREATE TABLE answers (something TEXT)")
        run(kept.put(*numbered(3)))
        run(kept.put(*numbered(3)))
        assert run(kept.get(numbered(3)[0])) == numbered(3)[1]
        assert "computed anew" in caplog.text

    def test_damage_that_the_database_quotes_is_no_error(self, kept: Answers) -> None:
        run(kept.put(*numbered(3)))
        spoilt = (
            kept.path.read_bytes().replace(b"answersanswers", b"answer\xdcanswer\xdc", 1).replace(b"BLOB U", b"BLOB )")
        )
        kept.path.write_bytes(spoilt)
        with closing(sqlite3.connect(kept.path)) as other, pytest.raises(UnicodeDecodeError):
            other.execute("SELECT * FROM answers")
        assert run(kept.get(numbered(3)[0])) is None
        run(kept.put(*numbered(3)))
        assert run(kept.get(numbered(3)[0])) == numbered(3)[1]

    def test_a_file_of_a_later_format_can_be_cleared(self, kept: Answers, caplog: pytest.LogCaptureFixture) -> None:
        run(kept.put(*numbered(3)))
        spoilt = bytearray(kept.path.read_bytes())
        spoilt[18] = 9  # the format version below which SQLite only reads
        kept.path.write_bytes(spoilt)
        run(kept.put(*numbered(4)))
        assert "goes on without" in caplog.text
        assert kept.clear() == 0 and not kept.path.exists()

    def test_a_damaged_file_can_be_shown_and_cleared(self, kept: Answers) -> None:
        kept.path.parent.mkdir()
        kept.path.write_bytes(b"no database at all" * 100)
        with pytest.raises(CacheError, match="run  audit-env cache clear"):
            kept.stock()
        assert kept.clear() == 0
        assert kept.stock().answers == 0

    def test_an_altered_answer_is_computed_anew(self, kept: Answers, caplog: pytest.LogCaptureFixture) -> None:
        run(kept.put(key(SOURCE, ASKED), SAMPLE))
        kept.path.write_bytes(kept.path.read_bytes().replace(b"good soup", b"good soap"))
        assert run(kept.get(key(SOURCE, ASKED))) is None
        assert "damaged" in caplog.text
        run(kept.put(key(SOURCE, ASKED), SAMPLE))
        assert run(kept.get(key(SOURCE, ASKED))) == SAMPLE

    def test_an_answer_under_anothers_key_is_not_believed(self, kept: Answers) -> None:
        first, second = numbered(1), numbered(2)
        kept._write(dict([first]))
        kept._within(lambda db: db.execute("UPDATE answers SET key = ?", (second[0],)))
        assert run(kept.get(second[0])) is None

    def test_no_damage_gives_a_wrong_answer_or_an_error(self, kept: Answers) -> None:
        numbers = range(0, 120, 7)
        kept._write(dict(numbered(number) for number in range(120)))
        sound = kept.path.read_bytes()
        for seed in range(40):
            draw = random.Random(seed)
            spoilt = bytearray(sound)
            for _ in range(draw.choice((1, 8, 200))):
                spoilt[draw.randrange(len(spoilt))] = draw.randrange(256)
            kept.path.write_bytes(spoilt)
            again = Answers(kept.path.parent)
            found = again._read([numbered(number)[0] for number in numbers])
            assert found.items() <= dict(numbered(number) for number in numbers).items()
            again._write(dict([numbered(500)]))

    def test_a_folder_that_cannot_be_made_is_gone_without(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").write_text("")
        kept = Answers(tmp_path / "file" / "cache")

        async def compute(due: Sequence[int]) -> list[Sample]:
            return [SAMPLE for _ in due]

        for _ in range(3):
            assert run(kept.serve([numbered(0)[0]], compute)) == [SAMPLE]
        [record] = warned(caplog)
        assert "goes on without" in record.getMessage() and "AUDIT_ENV_CACHE_DIR" in record.getMessage()

    def test_a_folder_in_the_files_place_is_gone_without(self, kept: Answers, caplog: pytest.LogCaptureFixture) -> None:
        kept.path.mkdir(parents=True)
        assert run(kept.get(numbered(0)[0])) is None
        assert "goes on without" in caplog.text
        with pytest.raises(CacheError):
            kept.clear()

    def test_a_lock_that_nobody_opens_is_gone_without(
        self, kept: Answers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        run(kept.put(*numbered(0)))
        monkeypatch.setattr(module, "_LOCK_SECONDS", 0.01)
        other = sqlite3.connect(kept.path)
        other.execute("BEGIN EXCLUSIVE")
        assert run(kept.get(numbered(0)[0])) is None
        other.close()
        assert "database is locked" in caplog.text
        assert run(Answers(kept.path.parent).get(numbered(0)[0])) == numbered(0)[1]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    def test_a_forked_child_uses_the_cache_as_well(self, kept: Answers) -> None:
        run(kept.put(*numbered(0)))
        program = (
            "import asyncio, os, sys\n"
            "from pathlib import Path\n"
            "from audit_env.runtime import answers\n"
            "answers._LOCK_SECONDS = 600\n"
            "kept = answers.Answers(Path(sys.argv[1]))\n"
            "key = bytes.fromhex(sys.argv[2])\n"
            "assert kept._read([key])\n"
            "child = os.fork()\n"
            "sample = kept._read([key])[key]\n"
            "for number in range(30):\n"
            "    kept._write({f'{bool(child)} {number}'.encode(): sample})\n"
            "child and sys.exit(os.waitpid(child, 0)[1])\n"
        )
        subprocess.run([sys.executable, "-c", program, str(kept.path.parent), numbered(0)[0].hex()], check=True)
        assert kept.stock().answers == 61
