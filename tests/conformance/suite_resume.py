"""Promise 9, the head of the line: a pause can be ended before its time, and then nothing holds up what it held up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from anyio import create_task_group, current_time, sleep, to_thread

from tests.clocks import all_blocked

from .harness import BufferSuite, check, lease_all, put_all, start, until
from .suite_pauses import defer_first, first_letter


class ResumeSuite(BufferSuite):
    """``resume(*keys)``."""

    async def test_resumed_key_goes_on_at_once_in_its_old_place(self) -> None:
        async with self.open(key=first_letter) as buffer:
            await put_all(buffer, ["a1", "b1", "a2", "b2"])
            began = current_time()
            await defer_first(buffer, 60)
            assert await lease_all(buffer, 1) == "b1"
            await buffer.put("a3")
            buffer.resume("a")
            check(buffer)
            assert await lease_all(buffer) == "a1a2b2a3"
            assert current_time() - began < 1

    async def test_other_keys_stay_paused(self) -> None:
        async with self.open(key=first_letter) as buffer:
            await put_all(buffer, ["a1", "b1", "c1"])
            began = current_time()
            await defer_first(buffer, 60)
            await defer_first(buffer, 10)
            buffer.resume("a")
            assert [await lease_all(buffer), current_time() - began < 1] == ["a1c1", True]
            assert await lease_all(buffer) == "b1"
            assert 10 <= current_time() - began < 11

    async def test_several_keys(self) -> None:
        async with self.open(key=first_letter) as buffer:
            await put_all(buffer, ["a1", "b1", "c1"])
            for _ in range(3):
                await defer_first(buffer, 60)
            buffer.resume("c", "a", "unknown")
            assert await lease_all(buffer) == "a1c1"
            assert await buffer.drain() == ["b1"]

    @pytest.mark.parametrize("scope", ["key", "all"])
    async def test_without_keys_every_pause_ends(self, scope: str) -> None:
        async with self.open(key=first_letter) as buffer:
            await put_all(buffer, ["a1", "b1", "c1"])
            began = current_time()
            await defer_first(buffer, 60)
            await defer_first(buffer, 60, scope)
            buffer.resume()
            assert await lease_all(buffer) == "a1b1c1"
            assert current_time() - began < 1

    async def test_pause_of_everything_outlasts_the_resume_of_a_key(self) -> None:
        async with self.open(key=first_letter) as buffer:
            await put_all(buffer, ["a1", "b1"])
            began = current_time()
            await defer_first(buffer, 60)
            await defer_first(buffer, 10, "all")
            buffer.resume("a", "b")
            assert await lease_all(buffer) == "a1b1"
            assert 10 <= current_time() - began < 11

    @pytest.mark.parametrize("scope", ["key", "all"])
    async def test_without_keys_of_the_buffer_a_resume_frees_everything(self, scope: str) -> None:
        async with self.open() as buffer:
            await put_all(buffer, "ab")
            began = current_time()
            await defer_first(buffer, 60, scope)
            buffer.resume()
            assert await lease_all(buffer) == "ab"
            assert current_time() - began < 1

    @pytest.mark.parametrize("resume", [lambda buffer: buffer.resume(), lambda buffer: buffer.resume("b")])
    async def test_wakes_who_waits(self, resume: Callable[[object], None]) -> None:
        async with self.open(key=first_letter) as buffer, create_task_group() as tasks:
            await put_all(buffer, ["a1", "b1", "b2"])
            await defer_first(buffer, 60)
            await defer_first(buffer, 60)
            lookers = [await start(tasks, buffer.wait_nonempty) for _ in range(2)]
            taker = await start(tasks, partial(lease_all, buffer, 1))
            await sleep(1)
            resume(buffer)
            await all_blocked()
            assert [looker.state for looker in lookers] == ["returned", "returned"]
            assert taker.state == "returned"
            await buffer.drain()

    async def test_from_a_thread_wakes_who_waits(self) -> None:
        async with self.open(key=first_letter, threads=True) as buffer, create_task_group() as tasks:
            await buffer.put("a1")
            await defer_first(buffer, 3600)
            looker = await start(tasks, buffer.wait_nonempty)
            await to_thread.run_sync(buffer.resume)
            await until(lambda: looker.state == "returned")
            assert await lease_all(buffer) == "a1"

    async def test_key_can_be_deferred_anew(self) -> None:
        async with self.open(key=first_letter) as buffer:
            await put_all(buffer, ["a1", "b1"])
            began = current_time()
            await defer_first(buffer, 60)
            buffer.resume("a")
            await defer_first(buffer, 10)
            assert await lease_all(buffer) == "b1"
            assert await lease_all(buffer) == "a1"
            assert 10 <= current_time() - began < 11

    @pytest.mark.parametrize("scope", ["key", "all"])
    async def test_during_a_lease_nothing_overtakes_what_was_deferred_in_it(self, scope: str) -> None:
        async with self.open(key=first_letter) as buffer:
            await put_all(buffer, ["a1", "b1", "a2"])
            began = current_time()
            async with buffer.lease(3) as lease:
                entries = iter(lease)
                assert next(entries).defer(60, "all" if scope == "all" else "key")
                buffer.resume()
                assert [entry.message for entry in entries] == (["b1"] if scope == "key" else [])
            assert await lease_all(buffer) == "a1b1a2"
            assert current_time() - began < 1

    async def test_what_does_not_pause_is_left_as_it_is(self) -> None:
        async with self.open(key=first_letter) as buffer:
            buffer.resume()
            buffer.resume("a")
            await put_all(buffer, ["a1", "b1"])
            before = buffer.statistics()
            buffer.resume()
            buffer.resume("a", "c")
            assert buffer.statistics() == before
            assert await lease_all(buffer) == "a1b1"
            await buffer.aclose()
            buffer.resume()

    async def test_key_that_cannot_be_hashed_changes_nothing(self) -> None:
        async with self.open(key=first_letter) as buffer:
            await put_all(buffer, ["a1", "b1"])
            began = current_time()
            await defer_first(buffer, 10)
            with pytest.raises(TypeError, match="keys must be hashable, not list"):
                buffer.resume("a", ["b"])  # type: ignore[arg-type]
            assert await lease_all(buffer) == "b1"
            assert await lease_all(buffer) == "a1"
            assert 10 <= current_time() - began < 11
