"""Property tests draw the same examples every run, and no clock fails them."""

from hypothesis import settings

settings.register_profile("sickbay", max_examples=40, derandomize=True, deadline=None)
settings.load_profile("sickbay")
