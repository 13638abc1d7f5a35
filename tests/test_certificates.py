"""Proofs of where a formula is 0: enclosures, tails, covers; and that a fault in any of them is found."""
