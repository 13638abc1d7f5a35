"""The mathematics of activation functions, in SymPy alone: no module below this one imports torch."""
