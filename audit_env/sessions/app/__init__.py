"""The full-screen app: a face of a game that runs in a process of its own."""
