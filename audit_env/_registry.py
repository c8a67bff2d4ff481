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


# By name, since tasks and agents are mapped into the package when it is installed, where no type checker looks.
for _module in (
    "agents.auditbench",
    "agents.breadth_first",
    "agents.human",
    "agents.investigator",
    "agents.scripted",
    "evidence.evidence_eval",
    "agents.super_agent",
    "game.judging.all_at_once",
    "game.judging.validation",
    "game.scorer",
    "naturalness.naturalness_eval",
    "phenotype.persistence_eval",
    "phenotype.strength_eval",
    "sessions.model",
    "tasks.hidden_objective",
    "tasks.judge_validation",
    "tasks.naturalness",
    "tasks.persistence",
    "tasks.quirk_strength",
    "tasks.tool_evidence",
):
    import_module(f"audit_env.{_module}")
