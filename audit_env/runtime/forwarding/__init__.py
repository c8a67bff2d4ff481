"""Engines in a process of their own, and subjects that forward what they are asked to it.

Inspect's event loop and an engine both hold Python's lock for most of their time, so that in one process they hardly
overlap: whoever computes waits for the lock after every product. In two processes each has a core.
"""
