"""`audit-env estimate`: what audits by a paid model will cost."""

from dataclasses import asdict

import click


@click.command()
@click.argument("source", metavar="LOG|DIR", default="logs")
@click.option("--audits", type=click.IntRange(min=1), help="How many audits are planned. Default: as many as recorded.")
@click.option("--model", metavar="MODEL", help="Price the auditor's tokens as if this model used as many.")
@click.option("--prices", type=click.Path(dir_okay=False), help="Prices, as Inspect's --model-cost-config has them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def estimate(source: str, audits: int | None, model: str | None, prices: str | None, as_json: bool) -> None:
    """Estimate the cost of audits from the tokens that finished ones used.

    One row for each level of access and auditor, means over the recorded audits. Tokens are those of the auditor, of
    the grader, and of a model that plays the target; organisms that run here cost nothing. Where a price is not known,
    only tokens are shown. Another model than the recorded one will use more or fewer.

    \b
      audit-env estimate logs
      audit-env estimate logs --audits 96
      audit-env estimate logs --model anthropic/claude-haiku-4-5 --audits 24
    """  # noqa: D301
    from audit_env.commands.output import console, print_json, section, table
    from audit_env.errors import ParameterError
    from audit_env.game.cost import estimates, price_list, uses

    listed = price_list(prices)
    found = estimates(uses(source), listed, model)
    if not found:
        raise ParameterError(
            f"'{source}' holds no audit in which a model took part: play a few first, as in  "
            "inspect eval tasks/hidden_objective.py --model MODEL -T targets=2."
        )
    if as_json:
        rows = [asdict(one) | {"planned": audits or one.audits} for one in found]
        print_json({"as_of": str(listed.as_of) if listed.as_of else None, "model": model, "estimates": rows})
        return
    figures = table("level, auditor", "recorded", "read", "cached", "written", "$ an audit", "dearest", "$ in all")
    for one in found:
        figures.add_row(
            f"{one.affordance}, {one.auditor}",
            f"{one.audits:,}",
            f"{one.read:,.0f}",
            f"{one.cached:,.0f}",
            f"{one.written:,.0f}",
            *(
                [f"{one.cost:.3f}", f"{one.highest:.3f}", f"{one.cost * (audits or one.audits):,.2f}"]
                if one.cost is not None and one.highest is not None
                else ["-", "-", "-"]
            ),
        )
    where = console()
    section(where, figures)
    counted = f"for {audits:,} audits each" if audits else "for as many audits as recorded"
    section(where, f"Tokens are means an audit, of all models in it; $ in all: {counted}. {listed.age}.")
    if any(one.cost is None for one in found):
        section(where, "-: some price is not known; give it with --prices FILE.")
