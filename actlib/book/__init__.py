"""What the chapters of the book share, apart from what a user of the library imports."""
