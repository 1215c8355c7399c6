"""As plain.py, with each record of Bluesky read by the models of the SDK `atproto`.

That SDK has no client for this protocol: its Jetstream client speaks version 2 alone, see
atproto_v2.py. What it can be asked is whether the records are still those that it knows.

Arguments: the address, and the number of events.
"""

import asyncio
import json
import sys

import websockets
from atproto import models

from describe import describe


async def main(address, count):
    async with websockets.connect(f"ws://{address}/subscribe?cursor=1") as socket:
        for _ in range(int(count)):
            event = json.loads(await socket.recv())
            record = event.get("commit", {}).get("record")
            if record is not None and record["$type"].startswith("app.bsky."):
                parsed = models.get_or_create(record, strict=False)
                if parsed is None:
                    sys.exit(f"not a record: {record}")
            print(describe(event))


asyncio.run(main(*sys.argv[1:]))
