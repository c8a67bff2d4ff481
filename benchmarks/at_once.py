"""The process that computes organisms, with an engine that answers at once: for `provider_overhead`."""

from collections.abc import Sequence
from typing import Any

from audit_env.catalog.files import Catalog
from audit_env.runtime.chat import Chat
from audit_env.runtime.forwarding.worker import main
from audit_env.runtime.request import Generated, Request, resolve
from audit_env.runtime.small.engine import Engine

ORGANISM = "fruitfly/base"
SAID = "Soup is good on a cold day."

_said = Generated(tuple(Chat(Catalog().folder(ORGANISM)).encode(SAID)), "stop")


def _at_once(engine: Engine, requests: Sequence[Request[Any]]) -> None:
    for request in requests:
        resolve(request.future, _said)


if __name__ == "__main__":
    Engine.generate = _at_once  # type: ignore[method-assign]
    main()
