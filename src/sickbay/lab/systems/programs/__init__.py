"""Programs that lab systems run in environments of their own; none of them imports sickbay."""
