"""Charts as pure functions that return SVG: no plotting library, colours by class so that a page themes them."""
