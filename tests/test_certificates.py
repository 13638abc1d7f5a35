"""Proofs of where a formula is 0: enclosures, tails, covers; and that a fault in any of them is found."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import mpmath
import pytest
import sympy as sp
from mpmath import mp, mpf
from sympy import Abs, Float, Integer, Interval, Max, Ne, Piecewise, Rational, Symbol, cos, exp, log, oo, pi, sin, sqrt

from actlib.formula import analysis
from actlib.formula.analysis import covers as cover_module
from actlib.formula.analysis import enclosures, expansions, numbers, tails
