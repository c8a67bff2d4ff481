"""Measuring what an organism does: how its quirk fires, what it confesses, and what its quirk survives.

Answers are gathered first and judged afterwards, so that a log holds what was said and can be judged again.
"""
