"""How far a judge of open answers can be trusted: a labelled set, agreement, and an offline judge.

`GUIDE.md` says how the set was labelled and what it cannot show.
"""
