"""A run as a file for the textfile collector of Prometheus' node exporter: its last numbers, for dashboards and alerts.

The form is the text exposition format 0.0.4. Base units, and one series for each workload and action, never for each
agent.
"""

from __future__ import annotations

from collections.abc import Iterator

from rackwright.core.load.summary import Row, rows
from rackwright.core.load.timeline import QUANTILES
from rackwright.core.load.track import Recording, Track

Labels = dict[str, str]
Sample = tuple[str, Labels, float]

FAMILIES = {
    "rackwright_load_run_info": "What the run was; always 1.",
    "rackwright_load_run_success": "1 if the run finished and held its SLA.",
    "rackwright_load_run_started_timestamp_seconds": "When it was started.",
    "rackwright_load_run_duration_seconds": "How long it took.",
    "rackwright_load_sla_success": "1 if a criterion held.",
    "rackwright_load_iterations": "What ended.",
    "rackwright_load_errors": "What failed.",
    "rackwright_load_rate": "What ended, per second.",
    "rackwright_load_missed_starts": "Starts that the generator could not keep.",
    "rackwright_load_latency_seconds": "Quantiles from the intended start.",
    "rackwright_load_service_seconds": "Quantiles from the real start.",
}
"""Every metric, all gauges: they tell of one finished run."""


def prometheus(recording: Recording) -> Iterator[str]:
    """The lines of the file, family by family, as the format wants them."""
    samples: dict[str, list[Sample]] = {}
    for sample in _samples(recording):
        samples.setdefault(sample[0], []).append(sample)
    for name, told in FAMILIES.items():
        yield f"# HELP {name} {told}\n# TYPE {name} gauge\n"
        yield from (_line(*sample) for sample in samples.get(name, ()))


def _samples(recording: Recording) -> Iterator[Sample]:
    run = recording.run
    base = {"title": run.title}
    yield "rackwright_load_run_info", {**base, "run": run.id, "status": run.status, "version": run.version}, 1
    yield "rackwright_load_run_success", base, run.success
    yield "rackwright_load_run_started_timestamp_seconds", base, run.started_at
    if run.finished_at is not None:
        yield "rackwright_load_run_duration_seconds", base, run.finished_at - run.started_at
    for number, track in enumerate(recording.tracks):
        # Names may repeat within a run, series must not.
        labels = {**base, "workload": track.result.name, "number": str(number), "scenario": track.result.scenario}
        yield from _workload(track, labels)


def _workload(track: Track, labels: Labels) -> Iterator[Sample]:
    verdicts: dict[tuple[str, str], bool] = {}
    for judgement in track.result.judgements:
        # Two limits of one kind are one series, which holds if both hold.
        key = judgement.criterion, judgement.action
        verdicts[key] = verdicts.get(key, True) and judgement.success
    for (criterion, action), held in verdicts.items():
        yield "rackwright_load_sla_success", {**labels, "criterion": criterion, "action": action}, held
    yield "rackwright_load_missed_starts", labels, track.missed
    for row in rows(track):
        yield from _row(row, {**labels, "action": row.action})


def _row(row: Row, labels: Labels) -> Iterator[Sample]:
    if row.measure == "service":
        yield "rackwright_load_iterations", labels, row.total
        yield "rackwright_load_errors", labels, row.errors
        yield "rackwright_load_rate", labels, row.rate
    if row.total:
        for part, value in zip(QUANTILES, row.quantiles, strict=True):
            yield f"rackwright_load_{row.measure}_seconds", {**labels, "quantile": f"{part:g}"}, value


def _line(name: str, labels: Labels, value: float) -> str:
    inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{inside}}} {float(value):.12g}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
