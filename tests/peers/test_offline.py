"""Messages queued while there is no link, and what becomes of them: paho's queue and nats.py's pending buffer.

Index: put while offline; lost at the reconnect; order after the reconnect; duplicates, and one at a time; what nobody
can send.

The peers: paho.mqtt.python (tests/test_client.py, tests/lib, and its issues), nats.py (nats/tests/test_client.py) and
the siblings of both in other languages, whose issues tell the same stories.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
from anyio import create_task_group, sleep

from ridethrough import (
    AsyncMessageBuffer,
    AuthenticationFailed,
    LinkLost,
    Outcome,
    Undelivered,
)
from tests.conformance.harness import ends, lease_all, start
from tests.links import (
    FakeLink,
    Fault,
    Network,
    cut_after,
    cut_before,
    cut_in,
    put_all,
    raising,
    run_to_its_end,
    running,
    slow,
    supervise,
)

from .outbox import answer, offline, open_buffer

pytestmark = pytest.mark.anyio


# ---------------------------------------------------------------- put while offline


@pytest.mark.parametrize(
    ("case", "connect"),
    [
        ("paho #549, #550: publish between connect_async() and the connection never completed", slow(30)),
        ("paho, test_publish_before_connect: and with a first connection that fails it raised", raising(OSError())),
    ],
)
async def test_message_put_before_there_is_a_link_is_sent_once_there_is_one(case: str, connect: Fault) -> None:
    """It is neither refused nor forgotten, and whoever waits for it learns of its end."""
    network = Network()
    network.on_connect.append(connect)
    async with AsyncMessageBuffer[str]() as buffer:
        delivery = await buffer.put("a")
        async with running(supervise(network, buffer)):
            assert await delivery == "took a", case
    assert network.received == ["a"]


async def test_put_says_nothing_of_sent_and_the_delivery_does() -> None:
    """paho #210, #439: publish() returned, and people took it for sent; or is_published() denied what had been sent."""
    network = Network()
    network.on_send.append(slow(5))
    async with AsyncMessageBuffer[str]() as buffer, running(supervise(network, buffer)):
        delivery = await buffer.put("a")
        await sleep(4)
        assert (delivery.outcome, delivery.maybe_sent, network.received) == (None, True, [])
        assert await delivery == "took a"
        assert (delivery.outcome, delivery.maybe_sent, network.received) == (Outcome.SENT, False, ["a"])


async def test_queue_can_be_looked_at_and_taken_out_in_an_outage() -> None:
    """paho #857: how long is the queue, and can it be saved before the power goes?"""
    network = Network()
    network.on_connect.extend(offline(100))
    async with AsyncMessageBuffer[str]() as buffer, running(supervise(network, buffer)):
        await put_all(buffer, "abc")
        await sleep(60)
        assert (len(buffer), buffer.statistics().queued) == (3, 3)
        assert (await buffer.drain(), len(buffer)) == (list("abc"), 0)


# ---------------------------------------------------------------- lost at the reconnect


@pytest.mark.parametrize("cut", [cut_before, cut_in, cut_after])
@pytest.mark.parametrize("at", [0, 1, 5, 9])
async def test_nothing_is_lost_around_the_loss_of_the_link(at: int, cut: Fault) -> None:
    """nats.net.v1 #271, nats.node #320: four of the messages around a reconnect were lost, the earlier pending ones."""
    network = Network()
    network.on_send.extend([*[answer] * at, cut])
    network.on_connect.extend([slow(0), raising(OSError("still down")), slow(1)])
    async with AsyncMessageBuffer[str]() as buffer, running(supervise(network, buffer)):
        for message in "0123456789":
            await buffer.put(message)
            await sleep(0.2)
        await buffer.flush(60)
        assert buffer.statistics().sent == 10
    assert list(dict.fromkeys(network.received)) == list("0123456789")
    assert len(network.received) == 10 + (cut is cut_after)


async def test_message_whose_loss_is_noticed_late_is_kept() -> None:
    """nats.rs #182, paho.rust #218: the first ones into a connection that was dead already were gone, with an Ok."""
    network = Network()

    async def swallow(link: FakeLink, _: str) -> None:
        await sleep(15)  # the keepalive notices at last
        link.cut()
        raise LinkLost("no answer")

    network.on_send.append(swallow)
    async with AsyncMessageBuffer[str]() as buffer, running(supervise(network, buffer)):
        first = await buffer.put("1")
        await sleep(10)
        await put_all(buffer, "23")
        assert await first == "took 1"
        await buffer.flush(60)
    assert network.received == ["1", "2", "3"]


async def test_message_cut_in_the_middle_is_sent_again_whole() -> None:
    """nats.c #276, #280: after a reconnect the rest of a message was sent, or its beginning twice."""
    network = Network()
    network.on_send.extend([cut_in, cut_in])
    async with AsyncMessageBuffer[str]() as buffer, running(supervise(network, buffer)):
        delivery = await buffer.put("a whole message")
        assert await delivery == "took a whole message"
        assert (delivery.attempts, delivery.maybe_sent) == (3, True)
    assert network.received == ["a whole message"]


# ---------------------------------------------------------------- order after the reconnect


async def test_backlog_goes_before_what_is_put_as_the_link_comes_back() -> None:
    """wirepas gateway #173, paho.mqtt.c #807: new messages overtook those that waited for the reconnect."""
    network = Network()
    network.on_connect.extend(offline(3))
    async with AsyncMessageBuffer[str]() as buffer:
        await put_all(buffer, "abc")
        supervisor = supervise(network, buffer)
        async with running(supervisor):
            await supervisor.wait_connected()
            await put_all(buffer, "def")
            await buffer.flush(60)
    assert network.received == list("abcdef")


@pytest.mark.parametrize("cut", [cut_in, cut_after])
async def test_message_in_flight_is_first_again(cut: Fault) -> None:
    """MQTT 4.6, paho, test_03_publish_c2b_qos1_disconnect: what is sent again comes in the order of the first time."""
    network = Network()
    network.on_send.extend([answer, cut, answer, cut])
    async with AsyncMessageBuffer[str]() as buffer:
        await put_all(buffer, "abcd")
        async with running(supervise(network, buffer)):
            await buffer.flush(60)
    assert network.received == (list("abcd") if cut is cut_in else list("abbccd"))


# ---------------------------------------------------------------- duplicates, and one at a time


async def test_only_what_is_in_doubt_is_sent_twice() -> None:
    """paho #698: after a reconnect each message was published twice, under its old number and under a new one."""
    network = Network()
    network.on_send.extend([answer, answer, cut_after])
    async with AsyncMessageBuffer[str]() as buffer:
        deliveries = [await buffer.put(message) for message in "abcdef"]
        async with running(supervise(network, buffer)):
            await buffer.flush(60)
    assert Counter(network.received) == Counter("abccdef")
    assert [delivery.id for delivery in deliveries] == [1, 2, 3, 4, 5, 6]
    assert [delivery.maybe_sent for delivery in deliveries] == [False, False, True, False, False, False]


async def test_backlog_that_is_cut_again_and_again_is_not_begun_anew() -> None:
    """nats.c #280: a flush of the pending buffer that failed half way was repeated from the beginning."""
    network = Network()
    network.on_send.extend([answer, answer, cut_before] * 4)
    async with AsyncMessageBuffer[str]() as buffer:
        deliveries = [await buffer.put(message) for message in "abcdefgh"]
        async with running(supervise(network, buffer)):
            await buffer.flush(600)
    assert network.received == list("abcdefgh")
    assert {delivery.attempts for delivery in deliveries} == {1}  # what never left is no attempt


async def test_late_answer_is_not_taken_for_the_answer_to_the_next_try() -> None:
    """nats.py2 #36: an answer that came too late was counted for the request after it."""
    async with open_buffer() as buffer:
        delivery, _ = await buffer.put("a"), await buffer.put("b")
        async with buffer.lease() as lost:
            first_try = next(iter(lost))
            first_try.begin()
        async with buffer.lease() as link:
            second_try = next(iter(link))
            second_try.begin()
            assert not first_try.ack("late")
            assert (delivery.outcome, len(link)) == (None, 1)
            assert second_try.ack("in time")
        assert (await delivery, await lease_all(buffer)) == ("in time", "b")


async def test_backlog_is_not_thrown_at_the_other_side_all_at_once() -> None:
    """paho #492, #698: at a reconnect it ignored max_inflight, and the broker hung up on thousands of messages."""
    network = Network()
    under_way: list[str] = []
    most = 0

    async def send(link: FakeLink, message: str) -> str:
        nonlocal most
        under_way.append(message)
        most = max(most, len(under_way))
        await sleep(0.1)
        under_way.remove(message)
        return link.take(message)

    network.on_send.extend([send] * 5 + [cut_in] + [send] * 20)
    async with AsyncMessageBuffer[str]() as buffer:
        await put_all(buffer, "abcdefghijklmnopqrst")
        async with running(supervise(network, buffer)):
            await buffer.flush(600)
    assert (most, network.received) == (1, list("abcdefghijklmnopqrst"))


async def test_full_window_does_not_stop_the_sending_for_ever() -> None:
    """paho #24, test_03_publish_fill_inflight: after an outage that filled the window nothing was sent any more."""
    network = Network()
    network.on_send.append(cut_in)
    network.on_connect.extend([slow(0), *offline(5)])
    buffer: AsyncMessageBuffer[str] = AsyncMessageBuffer(3, overflow="wait")
    async with buffer, running(supervise(network, buffer)), create_task_group() as tasks:
        call = await start(tasks, partial(put_all, buffer, "abcdefgh"))
        await sleep(5)
        assert (call.state, len(buffer)) == ("running", 3)
        await sleep(120)
        assert (call.state, buffer.is_empty()) == ("returned", True)
    assert network.received == list("abcdefgh")


# ---------------------------------------------------------------- poisonous, refused


async def test_message_that_makes_the_other_side_hang_up_does_not_hold_up_the_rest() -> None:
    """paho #492: one message that the broker refuses by disconnecting is sent again at each reconnect, for ever."""
    network = Network()
    network.on_send.extend([cut_in] * 5)
    async with AsyncMessageBuffer[str]() as buffer, running(supervise(network, buffer)):
        bad, good = await buffer.put("bad"), await buffer.put("good")
        assert "poison" in await ends(bad)
        assert await good == "took good"
    assert (network.received, len(network.tries)) == (["good"], 6)


async def test_refused_credentials_end_it_at_once_and_nothing_is_lost() -> None:
    """paho #470: publish.single() blocked for ever when the authentication had failed."""
    network = Network()
    network.on_connect.append(raising(AuthenticationFailed("bad user name or password")))
    async with AsyncMessageBuffer[str]() as buffer:
        delivery = await buffer.put("a")
        supervisor = supervise(network, buffer)
        with pytest.raises(AuthenticationFailed, match="bad user name"):
            await run_to_its_end(supervisor)
        with pytest.raises(AuthenticationFailed, match="bad user name"):
            await supervisor.wait_connected()
        assert (len(network.tries), delivery.outcome) == (1, None)
        assert await buffer.aclose() == ["a"]
        with pytest.raises(Undelivered, match="abandoned"):
            await delivery
