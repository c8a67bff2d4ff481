"""Every question over logs in which each finds an answer: every figure has intervals and counts, and opens offline."""

import json
from contextlib import suppress
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from audit_env.analysis.answers import Answer
from audit_env.analysis.questions import QUESTIONS
from audit_env.analysis.report import Report, report
from tests.analysis.conftest import hit, miss, passed
from tests.analysis.test_more_questions import of

pytest.importorskip("altair", reason="needs the extra 'report'")
pytest.importorskip("vl_convert", reason="needs the extra 'report'")

PHONE = {"width": 390, "height": 844}
MARKS = ".mark-symbol path, .mark-rect path"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


@pytest.fixture(scope="module")
def made(whole_folder: Path) -> Report:
    return report([whole_folder])


@pytest.fixture(scope="module")
def answers(made: Report) -> dict[str, Answer]:
    return {answer.key: answer for answer in made.answers}


@pytest.mark.parametrize("key", QUESTIONS)
def test_every_question_is_answered_with_intervals_and_counts_in_its_figure(
    answers: dict[str, Answer], key: str
) -> None:
    answer = answers[key]
    assert not answer.nothing, answer.nothing
    assert answer.notes and answer.plot
    spec = answer.plot().to_dict()
    drawn = [row for values in _data(spec) for row in values]
    ends = {name.removesuffix("_low") for row in drawn for name in row if name.endswith("_low")}
    assert ends, "no interval in the figure"
    for name in ends:
        spans = [(row[f"{name}_low"], row[f"{name}_high"]) for row in drawn if row.get(f"{name}_low") is not None]
        assert spans and all(low <= high for low, high in spans), name
    encoded = json.dumps([*_named(spec, "y"), *_named(spec, "y2"), *_named(spec, "x"), *_named(spec, "x2")])
    texts = json.dumps(_named(spec, "text"))
    assert any(f"{name}_low" in encoded for name in ends) or "between" in texts
    shown = [str(value) for row in drawn for value in row.values()]
    assert any("n=" in value for value in shown), "no count in the figure"


def test_thirty_groups_look_different_in_greyscale() -> None:
    import altair as alt
    import pandas as pd

    from audit_env.analysis import plots

    table = pd.DataFrame(
        [{"who": f"{g:02}", "x": x, "y": 0.5, "y_low": 0.4, "y_high": 0.6, "y_n": 9} for g in range(30) for x in (0, 1)]
    )
    spec = plots.lines(table, "x", "y", "who", ("x", "y")).to_dict()
    assert alt.__version__
    shades, dashes, shapes = (_named(spec, name)[0]["scale"]["range"] for name in ("color", "strokeDash", "shape"))
    assert len(set(zip(shades, map(str, dashes), strict=True))) == 30 == len(set(zip(shades, shapes, strict=True)))
    grey = sorted({_luminance(shade) for shade in shades})
    assert len(grey) == 5 and min(b - a for a, b in zip(grey, grey[1:], strict=False)) > 20


def test_the_page_of_a_thousand_audits_is_small() -> None:
    from audit_env.analysis.page import html

    audits = [
        (hit, miss, miss)[place % 3](f"{quirk}.{place % 7}") if place % 4 else passed("base", 0.1 * (place % 9))
        for place, quirk in enumerate(["flattery", "gloom", "warns", "hides", "lies"] * 200)
    ]
    frames = of(audits)
    answers = tuple(question(frames) for question in QUESTIONS.values())
    made = Report(answers, logs=1, audits=len(audits), not_run=0, empty=0, skipped=())
    assert made.audits == 1000 and sum(not answer.nothing for answer in answers) >= 8
    assert len(html(made).encode()) < 5_000_000


@pytest.fixture(scope="module")
def opened(made: Report, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a headless browser sees, with no network: whatever the page asks for is refused and noted."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra 'dev')")
    browser = next((path for name in BROWSERS if (path := which(name))), None)
    if browser is None:
        pytest.skip(f"no browser on this machine: looked for {', '.join(BROWSERS)}")
    from audit_env.analysis.page import html

    place = tmp_path_factory.mktemp("page") / "report.html"
    place.write_text(html(made), encoding="utf-8")
    told: dict[str, Any] = {"console": [], "requests": [], "specs": place.read_text().count("window.vegaEmbed(")}
    with api.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser, args=["--no-sandbox"], timeout=120_000)
        context = chromium.new_context(viewport=PHONE, offline=True, device_scale_factor=1)
        page = context.new_page()
        page.on("console", lambda message: told["console"].append(message.text))
        page.on("pageerror", lambda error: told["console"].append(str(error)))
        page.on("request", lambda request: told["requests"].append(request.url))
        page.goto(place.as_uri(), timeout=120_000)
        # An empty drawing stands there before what it shows. Which plot never showed anything, a test below tells.
        with suppress(api.TimeoutError):
            page.wait_for_function(
                f"[...document.querySelectorAll('.plot')].every(plot => plot.querySelector('svg.marks :is({MARKS})'))",
                timeout=120_000,
            )
        told["plots"] = page.eval_on_selector_all(
            ".plot",
            f"""plots => plots.map(plot => [
                plot.id,
                plot.querySelectorAll("{MARKS}").length,
                plot.querySelector("svg.marks")?.getBoundingClientRect().width ?? 0,
            ])""",
        )
        told["text"] = page.inner_text("body")
        told["widths"] = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        told["smallest"] = page.evaluate(
            "Math.min(...[...document.querySelectorAll('p, li, td, th, h1, h2, summary')]"
            ".map(each => parseFloat(getComputedStyle(each).fontSize)))"
        )
        chromium.close()
    return told


class TestInABrowser:
    def test_every_plot_is_drawn(self, opened: dict[str, Any]) -> None:
        assert len(opened["plots"]) == len(QUESTIONS) == opened["specs"]
        for name, marks, width in opened["plots"]:
            assert marks > 0 and width > 100, name

    def test_nothing_is_complained_of_and_nothing_is_fetched(self, opened: dict[str, Any]) -> None:
        assert opened["console"] == []
        assert [url for url in opened["requests"] if not url.startswith(("file:", "data:"))] == []
        assert len([url for url in opened["requests"] if url.startswith("file:")]) == 1

    def test_it_reads_on_a_phone(self, opened: dict[str, Any]) -> None:
        whole, seen = opened["widths"]
        assert whole <= seen == PHONE["width"]
        assert opened["smallest"] >= 12
        assert "Detection and false alarms" in opened["text"] and "Audits: " in opened["text"]


def _data(spec: Any) -> list[list[dict[str, Any]]]:
    """The rows of every data set in a chart, wherever it lies."""
    inline = [value["values"] for value in _named(spec, "data") if "values" in value]
    return [*inline, *[rows for sets in _named(spec, "datasets") for rows in sets.values()]]


def _named(spec: Any, name: str) -> list[Any]:
    """All that bears a name in a chart."""
    if isinstance(spec, dict):
        own = [spec[name]] if name in spec else []
        return own + [found for value in spec.values() for found in _named(value, name)]
    return [found for value in spec for found in _named(value, name)] if isinstance(spec, list) else []


def _luminance(shade: str) -> float:
    red, green, blue = (int(shade[place : place + 2], 16) for place in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue
