"""The report in every format, and the page."""

import csv
import html as html_module
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from audit_env.analysis.page import html
from audit_env.analysis.questions import QUESTIONS
from audit_env.analysis.report import report
from audit_env.analysis.results import BEGIN, END, games
from audit_env.cli import main
from audit_env.game import showing, table
from audit_env.stats import clustered_wilson
from tests.analysis.conftest import GOLDEN, NAMED, hit, miss

ROOT = Path(__file__).parents[2]
BASELINES = ROOT / "logs" / "baselines"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["report", *arguments])


@pytest.fixture
def folder(written: Callable[..., Path], tmp_path: Path) -> Path:
    """The golden log, an older one and a damaged one."""
    written(GOLDEN, named=NAMED, version=2, planned=10)
    written([hit("flattery.a")], name="older", version=1)
    (tmp_path / "2026_damaged.eval").write_bytes(b"PK")
    return tmp_path


def test_the_terminal_shows_every_question_and_what_was_skipped(folder: Path) -> None:
    done = run(str(folder))
    assert done.exit_code == 0, done.output
    for key, question in QUESTIONS.items():
        assert question.__module__ and key
    assert done.output.count("Not answered: ") == len(QUESTIONS) - 8
    assert "0.40" in done.output and "What several audits of a target add" in done.output
    assert "Logs that are in no figure: 2." in done.output
    assert "2026_damaged.eval: damaged" in done.output and "where others follow 2" in done.output
    assert "not run, in logs that were cancelled or broke off: 2." in done.output


def test_json_holds_every_figure(folder: Path) -> None:
    told = json.loads(run(str(folder), "--format", "json").output)
    assert [answer["key"] for answer in told["answers"]] == list(QUESTIONS)
    detection = told["answers"][0]["rows"][0]
    assert detection["detected"] == 0.4 and detection["detected_n"] == 5
    assert (told["audits"], told["not_run"], len(told["skipped"])) == (8, 2, 2)


def test_csv_has_a_file_for_each_question(folder: Path, tmp_path: Path) -> None:
    done = run(str(folder), "--format", "csv", "--out", str(tmp_path / "tables"), "--only", "detection,roc")
    assert [Path(line).name for line in done.output.split()] == ["detection.csv", "roc.csv"]
    with (tmp_path / "tables" / "roc.csv").open() as file:
        assert [row["auroc"] for row in csv.DictReader(file)] == ["0.75"]


def test_markdown_has_interval_and_count(folder: Path) -> None:
    told = run(str(folder), "--format", "markdown", "--only", "detection").output
    known = clustered_wilson([1, 1, 0, 0, 0], range(5))
    assert f"| 0.40 [{known.low:.2f}, {known.high:.2f}] n=5 |" in told and "## What this rests on" in told


def test_older_rules_are_pooled_when_told(folder: Path) -> None:
    told = run(str(folder), "--pool", "--only", "detection").output
    assert "POOLED over versions 1, 2" in told and "Audits: 9" in told


def test_a_mistyped_question_is_one_sentence(folder: Path) -> None:
    done = run(str(folder), "--only", "detecton")
    assert done.exit_code == 1 and "detection" in done.stderr and done.stderr.count("\n") == 1


def test_a_page_needs_a_place(folder: Path) -> None:
    assert "--out FILE.html" in run(str(folder), "--format", "html").stderr


def test_only_unusable_logs_give_an_empty_report(tmp_path: Path) -> None:
    (tmp_path / "2026_damaged.eval").write_bytes(b"PK")
    done = run(str(tmp_path))
    assert done.exit_code == 0 and "Audits: 0; logs: 0." in done.output and "2026_damaged.eval" in done.output


class TestPage:
    @pytest.fixture(autouse=True)
    def drawn(self) -> None:
        pytest.importorskip("altair", reason="needs the extra 'report'")
        pytest.importorskip("vl_convert", reason="needs the extra 'report'")

    def test_it_is_one_file_without_network(self, folder: Path, tmp_path: Path) -> None:
        place = tmp_path / "report.html"
        assert run(str(folder), "--format", "html", "--out", str(place)).exit_code == 0
        page = place.read_text(encoding="utf-8")
        assert len(page) < 5_000_000
        outside = page.replace(page[page.index('<script type="module">') : page.rindex("</script>")], "")
        assert not re.search(r"(src|href)=[\"'](?!#|data:)", outside) and "@import" not in page
        assert not re.search(r"\bimport\s*[\"'(]\s*[\"']?https?:", page)
        assert page.count("window.vegaEmbed(") == 8
        assert '<meta name="viewport" content="width=device-width' in page
        specs = re.findall(r"window\.vegaEmbed\(\"#plot-\w+\", (\{.*\}), options\);", page)
        assert len(specs) == 8
        for spec in specs:
            assert "url" not in {key for key in _keys(json.loads(spec))}

    def test_names_cannot_break_out_of_the_page(self, written: Callable[..., Path]) -> None:
        evil = "mockllm/</script><script>alert(1)</script>"
        page = html(report([written(GOLDEN, named=NAMED, model=evil)]))
        assert "<script>alert(1)" not in page

    def test_plots_compile_and_hold_intervals_and_counts(self, folder: Path, tmp_path: Path) -> None:
        done = run(str(folder), "--only", "detection", "--plots", str(tmp_path / "figures"))
        assert done.exit_code == 0, done.output
        drawn = (tmp_path / "figures" / "detection.svg").read_text()
        assert "n=5" in drawn and "share of audits" in drawn
        assert (tmp_path / "figures" / "detection.png").read_bytes().startswith(b"\x89PNG")

    def test_lines_tell_themselves_apart_without_colour(self, written: Callable[..., Path], tmp_path: Path) -> None:
        written(GOLDEN, name="a", model="mockllm/a")
        written([*GOLDEN[:3], miss("gloom.b"), *GOLDEN[6:]], name="b", model="mockllm/b")
        [answer] = report([tmp_path], only=["roc"]).answers
        assert answer.plot
        layers = answer.plot().to_dict()["layer"]
        dashes = layers[0]["encoding"]["strokeDash"]["scale"]["range"]
        shapes = layers[1]["encoding"]["shape"]["scale"]["range"]
        assert len({str(dash) for dash in dashes}) == 2 == len(set(shapes))


def test_without_the_extra_the_page_names_it_and_tables_still_work(
    written: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = str(written(GOLDEN))
    monkeypatch.setitem(sys.modules, "altair", None)  # As if it were missing.
    page = run(log, "--format", "html", "--out", str(tmp_path / "x.html"))
    assert page.exit_code == 1 and "pip install 'audit_env[report]'" in page.stderr
    assert "pip install 'audit_env[report]'" in run(log, "--plots", str(tmp_path / "x")).stderr
    shown = run(log)
    assert shown.exit_code == 0 and "0.40" in shown.output


@pytest.fixture
def results(shelved: None) -> pd.DataFrame:
    """The table of the README, from the logs behind it."""
    return table.results(games([BASELINES]).audits)


def test_the_readmes_table_is_what_the_logs_say(results: pd.DataFrame) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.partition(BEGIN)[2].partition(END)[0]
    assert showing.markdown(results) in block, "run  audit-env report logs/baselines --readme README.md"
    picture = html_text((BASELINES / "results.svg").read_text(encoding="utf-8"))
    for line in showing.markdown(results).splitlines()[2 : 2 + len(results)]:
        for cell in re.findall(r"\d\.\d\d \(\d+/\d+\)|\[\d\.\d\d, \d\.\d\d\]", line):
            assert cell in picture, "run  audit-env report logs/baselines --readme README.md"


def test_one_command_puts_the_results_into_a_readme(written: Callable[..., Path], tmp_path: Path) -> None:
    log = written(GOLDEN, named=NAMED)
    (tmp_path / "docs").mkdir()
    readme = tmp_path / "docs" / "README.md"
    readme.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nThe end.\n")
    for _ in range(2):  # What it wrote it finds again.
        done = run(str(log.parent), "--readme", str(readme))
        assert done.exit_code == 0 and done.output.split() == [str(readme), str(tmp_path / "results.svg")]
    said = readme.read_text()
    shown = CliRunner().invoke(main, ["results", str(tmp_path), "--format", "markdown"]).output
    link = "![Detection, false alarms and calibration by level of access](../results.svg)"
    assert said == f"# Title\n\n{BEGIN}\n{link}\n\n{shown}{END}\n\nThe end.\n"
    assert "0.20 (1/5)" in html_text((tmp_path / "results.svg").read_text())
    readme.write_text(f"{END} {BEGIN}")
    refused = run(str(log), "--readme", str(readme))
    assert refused.exit_code == 1 and "<!-- results -->" in refused.stderr and readme.read_text() == f"{END} {BEGIN}"


def test_the_report_agrees_with_the_readmes_table(results: pd.DataFrame) -> None:
    [detection, roc] = json.loads(run(str(BASELINES), "--only", "detection,roc", "--format", "json").output)["answers"]
    for row, own, area in zip(results.to_dict("records"), detection["rows"], roc["rows"], strict=True):
        assert own["affordance"] == area["affordance"] == row["affordance"]
        for name, theirs in (("clean_detection", "clean_detection"), ("detected", "detection"), ("chance", "chance")):
            assert own[name] == pytest.approx(row[theirs])
        for part in ("_low", "_high", "_n"):
            assert own[f"clean_detection{part}"] == pytest.approx(row[f"clean_detection{part}"])
            assert own[f"false_alarm{part}"] == pytest.approx(row[f"false_alarm{part}"])
        assert area["auroc"] == pytest.approx(row["auroc"])
        assert area["tpr_at_0.05"] == pytest.approx(row["tpr_at_budget"])


def html_text(picture: str) -> str:
    return html_module.unescape(picture).replace("\xa0", " ")


def _keys(value: object) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(key for inner in value.values() for key in _keys(inner))]
    return [key for inner in value for key in _keys(inner)] if isinstance(value, list) else []
