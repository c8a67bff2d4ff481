"""The app of one player as a process of its own: `python -m audit_env.sessions.app ROOM WHO`."""

import os
import sys

from audit_env.sessions.app.link import Link
from audit_env.sessions.app.table import SessionApp
from audit_env.sessions.journal import Journal


def main() -> None:
    """Sit a player down."""
    room, who = sys.argv[1:]
    parent = os.getppid()

    def tend() -> None:
        if os.getppid() != parent:
            # The server was killed: nobody sees this app any more, and all that was typed is in the journal.
            os._exit(1)

    SessionApp(Link(Journal.from_environment(), room, who), tend).run()


if __name__ == "__main__":
    main()
