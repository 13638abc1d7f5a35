"""What the chapters of the book share, apart from what a user of the library imports.

In a notebook, importing it makes tuples and lists of formulas show as formulas.
"""

from actlib.book.display import register

register()
