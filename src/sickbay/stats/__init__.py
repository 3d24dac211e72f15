"""Statistics as table expressions and arrays; knows no source."""
