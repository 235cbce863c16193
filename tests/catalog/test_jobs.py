"""Jobs: whose turn it is, however many wait."""

from __future__ import annotations

from assetctl.catalog.jobs import KINDS, ON_DEVICE


def add(catalog, *jobs):
    """Have jobs wait: of each its kind, its priority, and what it is to do."""
    with catalog.write() as tx:
        tx.connection.executemany(
            "INSERT INTO jobs (kind, status, priority, request, pictures, attempts, created_at) "
            "VALUES (?, 'queued', ?, ?, '[]', 0, '2026-01-01T00:00:00Z')",
            jobs,
        )


def steps_of(catalog, ask):
    """How many steps SQLite takes for an answer."""
    count = 0

    def tick():
        nonlocal count
        count += 1

    with catalog.write() as tx:
        connections = [catalog.read.connection, tx.connection]
    for connection in connections:
        connection.set_progress_handler(tick, 1)
    ask()
    for connection in connections:
        connection.set_progress_handler(None, 0)
    return count


def test_a_turn_is_by_priority_and_then_by_number_among_the_kinds_that_are_asked_for(catalog):
    priorities = [0, 3, -2, 3, 0, 7, -2]
    add(catalog, *(("pull" if number % 3 == 0 else "generate", at, "{}") for number, at in enumerate(priorities)))
    assert catalog.jobs.count("queued") == 7
    assert catalog.jobs.count("queued", ["pull"]) == 3
    assert catalog.jobs.cancel(5).status == "cancelled"
    taken = []
    for kinds in (ON_DEVICE, ["pull"], KINDS, KINDS, KINDS, KINDS, KINDS):
        job = catalog.jobs.take(kinds)
        taken.append(job and job.id)
    assert taken == [6, 4, 2, 1, 3, 7, None]


def test_a_turn_takes_no_longer_where_thousands_wait(catalog):
    add(catalog, *(("generate", number % 3, "{}") for number in range(30)))
    few = steps_of(catalog, lambda: catalog.jobs.take(ON_DEVICE))
    add(catalog, *(("generate", number % 3, "{}") for number in range(5000)))
    assert steps_of(catalog, lambda: catalog.jobs.take(ON_DEVICE)) <= 2 * few


def test_a_job_that_cannot_be_read_fails_and_the_next_one_is_begun(catalog):
    add(catalog, ("generate", 0, "not json"), ("generate", 0, "{}"))
    assert catalog.jobs.take().id == 2
    assert (catalog.jobs.count("running"), catalog.jobs.count("failed")) == (1, 1)
