"""A diagnosis on the terminal, as HTML, as Markdown."""
