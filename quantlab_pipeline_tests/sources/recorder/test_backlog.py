"""What waits for the disk: bounded, in order, never dropped."""

from __future__ import annotations

import asyncio

from quantlab_pipeline.sources.recorder.backlog import OVERHEAD_BYTES, Backlog, Entry


def entry(k: int) -> Entry:
    return Entry(0, k, "x" * (1000 - OVERHEAD_BYTES))


def test_a_full_backlog_makes_its_giver_wait_until_it_is_drained():
    async def go():
        backlog = Backlog(2_000)
        waited = [await backlog.put(entry(k)) for k in range(2)]
        late = asyncio.create_task(backlog.put(entry(2)))
        await asyncio.sleep(0.02)
        assert not late.done()
        assert backlog.due.is_set()
        first = backlog.drain()
        assert await late >= 0.01
        return waited, first, backlog.drain()

    waited, first, second = asyncio.run(go())
    assert waited == [0.0, 0.0]
    assert [e.local_ns for e in first + second] == [0, 1, 2]


def test_what_is_in_hand_when_its_giver_is_cancelled_is_kept():
    async def go():
        backlog = Backlog(1_000)
        await backlog.put(entry(0))
        late = [asyncio.create_task(backlog.put(entry(k))) for k in (1, 2)]
        await asyncio.sleep(0)
        for task in late:
            task.cancel()
        ended = await asyncio.gather(*late, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended)
        return backlog.drain()

    assert [e.local_ns for e in asyncio.run(go())] == [0, 1, 2]
