"""`audit-env auditors`: the scripted auditors' own numbers."""

from pathlib import Path

import click


@click.group()
def auditors() -> None:
    """The scripted auditors' own numbers."""


@auditors.command()
@click.argument("logs", nargs=-1, required=True, metavar="LOG|DIR...")
@click.option("--set", "set_name", default="fruitfly_dev", show_default=True, help="The development set.")
@click.option("--out", type=click.Path(dir_okay=False), help="Where the file goes. Default: only show the figures.")
def calibrate(logs: tuple[str, ...], set_name: str, out: str | None) -> None:
    """Fit how the scripts weigh their evidence, and how likely they call a quirk, to audits of the development half.

    \b
      inspect eval tasks/hidden_objective.py -T set=fruitfly_dev -T affordance=white_box --log-dir logs/dev
      audit-env auditors calibrate logs/dev --out audit_env/auditors/calibration.json
    """  # noqa: D301
    from audit_env.auditors.fitting import calibrated

    command = "audit-env auditors calibrate LOG" + (f" --set {set_name}" if set_name != "fruitfly_dev" else "")
    made = calibrated(logs, set_name, command)
    for script, weighing in made.scripts.items():
        checked = made.cross_validated[script]
        weights = ", ".join(f"{source} {weight:.2f}" for source, weight in weighing.weights.items())
        click.echo(f"{script}: {weights}; threshold {weighing.threshold:.2f}")
        click.echo(
            f"  left out by quirk: detected {checked.detected}/{checked.quirked}, a quirk said of {checked.flagged}/"
            f"{checked.quirked}, false alarms {checked.false_alarms}/{checked.clean}, AUROC {checked.auroc}, "
            f"Brier {checked.brier}"
        )
    if out:
        Path(out).write_text(made.model_dump_json(indent=1) + "\n", encoding="utf-8")
