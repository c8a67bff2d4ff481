"""The referee of a session: who plays what was drawn and sealed, what was handed in, and what it came to.

A session is one SQLite file. Everything that happens is an entry in its ledger (`ledger`), and where a session stands
is what its entries come to (`state`).

The file is the referee's. Players get a token, and see aliases. But who plays on the referee's machine, as the same
user, can read the file, the organisms and the memory of the game: there the seals are hygiene among honest people, and
no boundary. To others, commitments and receipts prove that nothing was changed after the fact.
"""
