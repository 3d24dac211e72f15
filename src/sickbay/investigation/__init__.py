"""The loop: plan, probe, update, stop. One operation behind the command, the library call and every other door."""

from sickbay.investigation.events import Event, Leading, ProbeEnded, ProbeStarted
from sickbay.investigation.loop import investigate
from sickbay.investigation.single import doctor, run_probe

__all__ = ["Event", "Leading", "ProbeEnded", "ProbeStarted", "doctor", "investigate", "run_probe"]
