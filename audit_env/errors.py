"""The errors a user can meet. Each carries one sentence that says what is wrong and what to do."""


class AuditEnvError(Exception):
    """Base of every error that audit_env raises on purpose."""


class CardError(AuditEnvError):
    """A card, quirk, menu or game set on disk is missing, malformed or contradicts another file."""


class WeightsError(AuditEnvError):
    """Weights are missing, altered, of a forbidden format, or do not fit the model they are meant for."""


class CapabilityError(AuditEnvError):
    """An engine was asked for something it cannot give."""


class PlayError(AuditEnvError):
    """The model that plays a prompted organism is missing, or failed."""


class ServerError(AuditEnvError):
    """A model server cannot be started, is gone, or does not answer."""


class EngineClosed(AuditEnvError):
    """The engine was closed before it could answer."""

    def __init__(self) -> None:
        super().__init__("The engine was closed while this request was waiting: ask for the subject again.")


class ParameterError(AuditEnvError):
    """A task, agent or command parameter has a value that does not exist or cannot be read."""


class SealError(AuditEnvError):
    """A sealed commitment and what was opened under it do not agree."""


class BreedingError(AuditEnvError):
    """An organism could not be bred: its recipe, its data or its result is not good enough."""


class MissingExtraError(AuditEnvError):
    """An optional dependency is needed and not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the package '{package}': install it with  pip install 'audit_env[{extra}]'.")
