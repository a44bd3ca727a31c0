"""Telling a course what follows what: the same in both stores."""

from __future__ import annotations

from collections.abc import Iterable

from rackwright.core.critical_path import Course


def follow(course: Course, node_task: int, children: Iterable[int], feeds: Iterable[int]) -> None:
    """What waits for a node task."""
    for child in children:
        course.edge(node_task, child)
    for barrier in feeds:
        course.feeds(node_task, barrier)


def lead(course: Course, barrier: int, children: Iterable[int], feeds: Iterable[int]) -> None:
    """What waits for a barrier."""
    for child in children:
        course.gates(barrier, child)
    for below in feeds:
        course.joins(barrier, below)
