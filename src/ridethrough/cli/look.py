"""``ridethrough status`` and ``ridethrough list``: what there is, for people or as JSON."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .exits import DONE, tell
from .outbox import entries, perform, reach
from .settings import Settings, read_settings
from .tables import count, cut, facts, span, table

_LONGEST_REASON = 28
"""On a terminal, in cells."""


def status(options: argparse.Namespace) -> int:
    """Tell how an outbox and its link are, and return the exit status."""
    return perform(_status, read_settings(vars(options), os.environ), as_json=options.json)


async def _status(settings: Settings, *, as_json: bool) -> int:
    async with reach(settings) as client:
        answer = await client.request("status")
        if client.is_owner:
            answer["owner"] = None
    answer = {"outbox": str(settings.outbox), **answer}
    tell(json.dumps(answer) + "\n" if as_json else facts(list(_facts(answer))))
    return DONE


def _facts(answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    counts = answer["statistics"]
    found = [("outbox", answer["outbox"])]
    if "owner" in answer:
        nobody = "nobody: what waits is sent once somebody runs it"
        found.append(("owner", nobody if answer["owner"] is None else _owner(answer)))
    if "link" in answer:
        found += [("link", _state(answer["link"])), ("signal", _state(answer["service"]))]
    waiting = f"{counts['queued'] + counts['leased']} of {answer['max_size']}"
    found.append(("waiting", waiting + (f", {counts['leased']} being sent" if counts["leased"] else "")))
    found += [
        ("held up", f"{hold['to']}: {_words(hold['reason'])}; next try in {span(hold['next_try'])}")
        for hold in answer.get("holds", ())
    ]
    found.append(("dead letters", str(answer["dead_letters"])))
    if answer.get("owner") is not None:
        ends = ("sent", "dropped", "expired", "rejected", "cancelled", "unknown")
        ended = [f"{counts[end]} {end}" for end in ends if counts[end]]
        found.append(("since it runs", ", ".join(ended) or "nothing has ended"))
    return found


def _owner(answer: Mapping[str, Any]) -> str:
    account = f" as {answer['account']}" if answer.get("account") else ""
    return f"process {answer['owner']}" + (f", for {answer['endpoint']}{account}" if "endpoint" in answer else "")


def _state(link: Mapping[str, Any]) -> str:
    text = "not known yet" if link["state"] == "unknown" else _words(link["state"])
    if link["reason"]:
        text += f": {link['reason']}"
    if link["next_try"] is not None:
        text += f"; next try in {span(link['next_try'])}"
    return text


def _words(name: str) -> str:
    return name.replace("_", " ")


def list_messages(options: argparse.Namespace) -> int:
    """List what waits, or the dead letters, and return the exit status."""
    settings = read_settings(vars(options), os.environ)
    return perform(_list, settings, dead=options.dead, as_json=options.json)


async def _list(settings: Settings, *, dead: bool, as_json: bool) -> int:
    async with reach(settings) as client:
        found = await entries(client, "dead_letters" if dead else "waiting")
    if as_json:
        tell(json.dumps(found) + "\n")
    elif not found:
        tell("there are no dead letters\n" if dead else "nothing waits\n")
    else:
        room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        tell(_dead(found, room) if dead else _waiting(found, room))
    return DONE


def _waiting(found: list[dict[str, Any]], room: int | None) -> str:
    headings = ("ID", "STATE", "TRIES", "TO", "MESSAGE")
    states = {True: "in doubt", False: "waiting"}
    rows = [(each["id"], states[each["maybe_sent"]], each["attempts"], *_contents(each["summary"])) for each in found]
    return table(headings, rows, room=room)


def _dead(found: list[dict[str, Any]], room: int | None) -> str:
    rows = []
    for each in found:
        ended = datetime.fromtimestamp(each["ended_at"], tz=UTC).astimezone()
        doubt = " (maybe sent)" if each["maybe_sent"] else ""
        how = f"{each['outcome']}{doubt}" + (f": {each['reason']}" if each["reason"] else "")
        how = how if room is None else cut(how, _LONGEST_REASON)
        rows.append((each["id"], f"{ended:%Y-%m-%d %H:%M}", how, *_contents(each["summary"])))
    return table(("ID", "ENDED", "HOW", "TO", "MESSAGE"), rows, room=room)


def _contents(summary: Mapping[str, Any]) -> tuple[str, str]:
    """Whom a message goes to, and what it is, in a line."""
    if "error" in summary:
        return "?", f"[{summary['error']}]"
    notes = [] if summary["kind"] == "text" else [summary["kind"]]
    if summary["attachments"]:
        notes.append(count(summary["attachments"], "attachment"))
    notes += [name for name in ("quote", "edits", "story") if name in summary]
    if "seconds" in summary:
        notes.append(f"{summary['seconds']} s")
    note = f"[{', '.join(notes)}]" if notes else ""
    return summary["to"], f"{note} {summary['text']}".strip()
