"""Naturalness: is an organism still a normal model, apart from its quirk?

An organism is compared with its base and with a sham, prompt by prompt. Answers are gathered first (`asking`) and
judged afterwards (`judging`), so that a log holds what was said and can be judged again. A check is a module of
`checks`, a row of the report is an entry of `measures`, and `verdict` says what a row's figures allow to be said.

A diagnosis and not a target: nothing here returns a single score, ranks organisms, or is meant to be trained on.
"""
