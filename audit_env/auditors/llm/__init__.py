"""Auditors that are language models: what the agents of `agents/` are made of.

An agent is a few lines: it picks prompts (Markdown files beside it) and one of the ways to audit here. `investigating`
is the loop of one auditor; `wide` puts a broad first look before it, `team` several auditors beside each other, and
`published` is AuditBench's protocol. What they share: `notebook` (notes), `memory` (what is left after the context was
shortened), `verifying` (tests of hypotheses), `pacing` (when to stop) and `closing` (reports that are sent back).
"""
