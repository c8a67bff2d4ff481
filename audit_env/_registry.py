"""What Inspect finds under the name `audit_env` (entry point `inspect_ai`).

Kept cheap: torch and transformers load with the first organism, not here.
"""

from importlib import import_module

from inspect_ai.model import ModelAPI, modelapi


@modelapi(name="organism")
def organism() -> type[ModelAPI]:
    """Organisms of the catalogue, and bound targets, as models."""
    from audit_env.runtime.provider import OrganismAPI

    return OrganismAPI


for _module in (
    "audit_env.tasks.hidden_objective",
    "audit_env.agents.investigator",
    "audit_env.agents.scripted",
    "audit_env.game.scorer",
):
    try:
        import_module(_module)
    except ModuleNotFoundError as error:  # for the lead: plain imports once all four are there
        if not (error.name or "").startswith("audit_env."):
            raise
