"""Adds up what Lua processes send: a component that is a process among them."""

import json

import wit_world
from wit_world.imports import process
from wit_world.imports.types import Event_Cancel, Event_Message, Payload_Json


class WitWorld(wit_world.WitWorld):
    def run(self) -> str:
        """Ends with a text when it is cancelled."""
        sums: dict[str, int] = {}
        while True:
            event = process.receive(None)
            if isinstance(event, Event_Message):
                answer(sums, event.value)
            elif isinstance(event, Event_Cancel):
                return f"{sum(sums.values())} in all ({event.value})"


def answer(sums: dict[str, int], message) -> None:
    if message.topic == "add":
        entry = json.loads(message.payload.value)
        sums[entry["item"]] = sums.get(entry["item"], 0) + entry["count"]
    elif message.topic == "sums":
        process.send(message.sender, "sums", Payload_Json(json.dumps(sums)))
