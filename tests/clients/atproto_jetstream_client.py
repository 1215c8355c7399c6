"""The events as the package `atproto-jetstream` gives them. It speaks TLS only.

Arguments: the address of something that ends TLS, and the number of events.
"""

import asyncio
import sys

from atproto_jetstream import Jetstream, JetstreamOptions


def describe(event):
    if event.kind == "commit":
        commit = event.commit
        path = f"{commit.collection}/{commit.rkey}"
        return f"{event.did} {commit.rev} {commit.operation} {path}"
    return f"{event.did} {event.kind} {getattr(event, event.kind).seq}"


async def main(address, count):
    left = int(count)
    async with Jetstream(address, JetstreamOptions(cursor=1)) as stream:
        async for event in stream:
            print(describe(event))
            left -= 1
            if left == 0:
                return


asyncio.run(main(*sys.argv[1:]))
