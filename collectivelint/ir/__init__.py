"""The intermediate representation: a small structured tree of events, and the lowering from `ast` to it."""
