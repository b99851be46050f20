"""A schedule with SignalClient in it."""

from __future__ import annotations

from typing import Any

from anyio import create_task_group, sleep_forever

from ridethrough import Delivery
from ridethrough.signal_cli import SendResult, SignalClient, make_target
from ridethrough.signal_cli.answers import Judge

from .scenario import Scenario, SeededBackoff
from .signal import MemoryDaemon, Text, WatchedLink


class SignalScenario(Scenario):
    """The same with SignalClient, and a daemon in memory."""

    def _start_sending(self, background: Any) -> None:
        background.start_soon(self._keep_client)

    async def _keep_client(self) -> None:
        random, oracle = self.random, self.oracle
        daemon = MemoryDaemon(random, oracle)
        doubt = random.choice(("retry", "retry", "report"))
        oracle.at_most_once = doubt == "report"
        backoff = SeededBackoff(random, random.choice((0.5, 5)))
        client = SignalClient("unix:/nowhere", buffer=self.buffer, on_doubt=doubt, backoff=backoff, close_timeout=0)
        judge = Judge(backoff)
        client.supervisor._connect = lambda: WatchedLink(daemon, judge)
        oracle.supervisor = client.supervisor
        try:
            async with create_task_group() as tasks, client:
                tasks.start_soon(self._observe, client.supervisor.states())
                if random.random() < 0.5:
                    tasks.start_soon(self._disturb, daemon, client.supervisor)
                await sleep_forever()
        finally:
            daemon.stop()

    def _message(self) -> Any:
        self._serial += 1
        person = "0123"[: len(self.keys)]
        return Text(
            make_target(to=f"11111111-1111-4111-8111-00000000000{self.random.choice(person)}"), str(self._serial)
        )

    def _is_result(self, delivery: Delivery[Any], result: object) -> bool:  # noqa: ARG002
        return isinstance(result, SendResult)
