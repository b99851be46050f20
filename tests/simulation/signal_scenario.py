"""A schedule with SignalClient in it."""

from __future__ import annotations

from typing import Any

from anyio import create_task_group, sleep_forever

from ridethrough import Delivery
from ridethrough.signal_cli import OnUntrusted, SendResult, ServiceState, SignalClient, make_target

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
        client = SignalClient(
            "unix:/nowhere",
            buffer=self.buffer,
            on_doubt=doubt,
            on_untrusted=random.choice(tuple(OnUntrusted)),
            backoff=backoff,
            close_timeout=0,
        )
        client.supervisor._connect = lambda: WatchedLink(daemon, client._judge, client._mailbox)
        oracle.supervisor = client.supervisor
        try:
            async with create_task_group() as tasks, client:
                tasks.start_soon(self._observe, client.supervisor.states())
                tasks.start_soon(self._observe_service, client.service.changes())
                if daemon.faulty and random.random() < 0.5:
                    tasks.start_soon(daemon.change_weather)
                if random.random() < 0.5:
                    tasks.start_soon(self._disturb, daemon, client.supervisor)
                await sleep_forever()
        finally:
            daemon.stop()

    async def _observe_service(self, changes: Any) -> None:
        """It ends when the client is closed."""
        state = ServiceState.UNKNOWN
        async for change in changes:
            self.oracle.tell(f"service: {change}")
            self.oracle.check(change.previous is state, 13, f"{change} does not go on from {state}")
            state = change.state

    def _message(self) -> Any:
        self._serial += 1
        person = "0123"[: len(self.keys)]
        return Text(
            make_target(to=f"11111111-1111-4111-8111-00000000000{self.random.choice(person)}"), str(self._serial)
        )

    def _is_result(self, delivery: Delivery[Any], result: object) -> bool:  # noqa: ARG002
        return isinstance(result, SendResult)
