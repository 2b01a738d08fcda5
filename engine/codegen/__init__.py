"""How: from a reduction of a formula to a program, in the C family of languages."""
