"""The events as the client of the SDK `atproto` gives them, which speaks version 2.

Arguments: the address, the number of events, and `plain` or `zstd`.
"""

import sys

from atproto_jetstream import JetstreamClient


def describe(message):
    kind = message.py_type.partition("#")[2]
    if kind == "commit":
        path = f"{message.collection}/{message.rkey}"
        return f"{message.did} {message.rev} {message.operation} {path}"
    return f"{message.did} {kind} {getattr(message, kind).seq}"


def main(address, count, mode):
    is_compressed = mode == "zstd"
    client = JetstreamClient(
        {"cursor": 1}, base_uri=f"ws://{address}/xrpc", compress=is_compressed
    )
    left = int(count)

    def take(message):
        nonlocal left
        # Version 1, which is the measure, has no syncs.
        if message.py_type.endswith("#sync"):
            return
        print(describe(message))
        left -= 1
        if left == 0:
            client.stop()

    client.start(take)
    # It would go on without compression if it could not agree with the server on a dictionary.
    if client.compressed != is_compressed:
        sys.exit(f"compressed: {client.compressed}")


main(*sys.argv[1:])
