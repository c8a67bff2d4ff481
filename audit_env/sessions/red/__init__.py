"""The red team's side of a session: write a quirk, build it, look at it, seal it, hand it out, open it."""
