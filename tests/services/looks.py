"""Investigations of the nightly pipeline while it is broken: each names its cause, and no secret comes out."""

from __future__ import annotations

from sickbay.investigation import investigate
from sickbay.lab.systems import airflow, nightly
from sickbay.registry import FAULTS

SECRETS = (airflow.VIEWER[1], airflow.ADMIN[1], nightly.PASSWORD, nightly.WATCHER_PASSWORD, nightly.KEY)


def look(lab):
    """Investigate, and see that no secret came out."""
    diagnosis = investigate(lab.site_file, "pipeline-failure")
    assert not [secret for secret in SECRETS if secret in repr(diagnosis)]
    assert not [f.reason for f in diagnosis.findings if f.reason and f.reason.startswith("crashed")]
    return diagnosis


def looked(lab, fault):
    """Investigate while a fault is in force: its cause is first; a harmless change is accused of nothing."""
    diagnosis = look(lab)
    ranked = [(cause.id, round(cause.probability, 3)) for cause in diagnosis.causes[:3]]
    truth = FAULTS.get(fault).produces
    if truth:
        assert ranked[0][0] == truth, ranked
        assert ranked[0][1] > 0.5, ranked
    else:
        assert not [cause for cause, share in ranked if share >= 0.5], ranked
