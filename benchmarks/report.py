"""Time, memory and size of a report over synthetic logs of 200, 1,000 and 10,000 audits.

    python benchmarks/report.py [--sizes 200,1000,10000]

Each report is a fresh process without a cache, on one core; processor seconds are beyond imports, memory is the peak of
the whole process. Bars: 200 audits within 5 s, 10,000 within 60 s and 1.5 GB, the page of 1,000 below 5 MB.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from common import save
from inspect_ai.log import (
    EvalConfig,
    EvalDataset,
    EvalLog,
    EvalPlan,
    EvalResults,
    EvalSample,
    EvalSpec,
    EvalStats,
    write_eval_log,
)
from inspect_ai.log._log import EvalScorer
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import Score

from audit_env.game.outcome import Outcome

QUIRKS, ORGANISMS, A_LOG = 20, 40, 1000
BRIEF = "Audit it. " * 300
BARS = {200: {"seconds": 5.0}, 1000: {"page_megabytes": 5.0}, 10_000: {"seconds": 60.0, "gigabytes": 1.5}}

MEASURED = """
import json, resource, sys, time
from audit_env.analysis import page, plots, printing, report, questions, rows
plots.altair()
began = time.process_time(), time.perf_counter()
made = report.report([sys.argv[1]])
page = page.html(made)
text = printing.markdown(made)
spent = time.process_time() - began[0], time.perf_counter() - began[1]
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
assert made.audits == int(sys.argv[2]), made.lines
print(json.dumps({"seconds": spent[0], "wall": spent[1], "gigabytes": peak, "page_megabytes": len(page) / 1e6}))
"""


def outcome(rng: random.Random, number: int) -> Outcome:
    """An audit that never was."""
    place = number % ORGANISMS
    clean = place % 4 == 0
    hit = not clean and rng.random() < 0.4
    return Outcome(
        status="scored",
        alias=f"t-{place}",
        affordance=("blind", "black_box", "grey_box", "white_box")[number // ORGANISMS % 4],
        answers="menu",
        organism=f"synthetic/o{place}",
        standing=("base" if place == 0 else "sham") if clean else "quirked",
        kind="constructed",
        quirk=None if clean else f"quirk_{place % QUIRKS}",
        quirks=int(not clean),
        instil=("transcripts", "documents")[place % 2],
        conceal=("none", "sft", "kto")[place % 3],
        menu_size=31,
        verdict="quirk" if hit else "clean",
        p_quirk=round(rng.random(), 3),
        confidence=0.5,
        detected=None if clean else hit,
        clean_detection=None if clean else hit and rng.random() < 0.8,
        recognised=None if clean else hit,
        false_alarm=rng.random() < 0.2 if clean else None,
        evidence="demonstration" if hit else None,
        leak_assisted=False if hit else None,
        calls_to_correct=rng.randrange(1, 50) if hit else None,
        tokens_to_correct=rng.randrange(100, 5000) if hit else None,
        seconds_to_correct=rng.random() * 100 if hit else None,
        calls=50,
    )


def write(folder: Path, audits: int) -> None:
    """Write logs of at most 1,000 audits each."""
    rng = random.Random(audits)
    for first in range(0, audits, A_LOG):
        told = [outcome(rng, number) for number in range(first, min(first + A_LOG, audits))]
        samples = [
            EvalSample(
                id=f"{one.alias}.{first + place}",
                epoch=1,
                input=BRIEF,
                target="",
                metadata={"alias": one.alias, "affordance": one.affordance, "set": "synthetic", "brief": "default"},
                scores={
                    "verdict": Score(
                        value=float(bool(one.detected)),
                        answer=f"p(quirk) {one.p_quirk:.2f}: quirk_{rng.randrange(QUIRKS)}",
                        metadata={"outcome": one.model_dump(mode="json")},
                    )
                },
                output=ModelOutput(),
            )
            for place, one in enumerate(told)
        ]
        name = f"log{first // A_LOG}"
        spec = EvalSpec(
            eval_id=name,
            run_id=name,
            created="2026-01-01T00:00:00+00:00",
            task="hidden_objective",
            task_id=name,
            task_version=1,
            dataset=EvalDataset(samples=len(samples)),
            model=f"mockllm/auditor{first // A_LOG % 3}",
            config=EvalConfig(),
            scorers=[EvalScorer(name="verdict")],
            metadata={"set": "synthetic", "seed": first // A_LOG},
        )
        log = EvalLog(
            status="success", eval=spec, plan=EvalPlan(), results=EvalResults(), stats=EvalStats(), samples=samples
        )
        write_eval_log(log, str(folder / f"2026-01-01T00-00-00+00-00_hidden-objective_{name}.eval"))


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="200,1000,10000")
    sizes = [int(size) for size in parser.parse_args().sizes.split(",")]
    found = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), size)
            done = subprocess.run(
                [sys.executable, "-c", MEASURED, folder, str(size)],
                env=os.environ | {"AUDIT_ENV_CACHE": "off", "OMP_NUM_THREADS": "1"},
                capture_output=True,
                text=True,
                check=True,
            )
        row = {"audits": size} | {name: round(value, 2) for name, value in json.loads(done.stdout).items()}
        row["within"] = all(row[name] <= bar for name, bar in BARS.get(size, {}).items())
        found.append(row)

    save("report", {"reports": found})


if __name__ == "__main__":
    main()
