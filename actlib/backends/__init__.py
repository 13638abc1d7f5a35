"""How generated source runs: the primitives of each target, and its runner."""

PHI_SCALE = 0.36
PHI_TAIL = (
    *(0.1436192192699656, 0.14361926848347112, 0.12501233904433204, 0.08756221239425314, 0.04200642819155738),
    *(-0.025410916374656325, 0.04325247327440165, -0.20380485151222993, 0.2427536432867471, -0.12206073732499456),
    0.023450927097255242,
)
"""For x <= 0 and u = 1 / (1 - PHI_SCALE x): Phi(x) = exp(-x^2 / 2) u p(u), p with these coefficients, lowest first.

Minimax in the relative error, found by iteratively reweighted least squares in a Chebyshev basis; a test holds it to
1.2e-8, a fifth of a float32 ulp. The factor u is the tail's own 1/|x|, so the error stays small out to infinity. There
is no erfc in Triton, and the one of torch's compiler does not vectorise.
"""
