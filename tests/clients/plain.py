"""The events of a server as a plain websocket client sees them, one a line.

Arguments: the address, and `json` or `zstd` with the path of a dictionary or `-` for none. It reads
until the playback has met the end, and so needs no number.
"""

import asyncio
import json
import sys

import websockets
import zstandard

from describe import describe


async def main(address, form, path="-"):
    dictionary = None
    if path != "-":
        with open(path, "rb") as file:
            dictionary = zstandard.ZstdCompressionDict(file.read())
    decoder = zstandard.ZstdDecompressor(dict_data=dictionary)
    query = "cursor=1&caughtUp=true" + ("&compress=true" if form == "zstd" else "")
    async with websockets.connect(f"ws://{address}/subscribe?{query}") as socket:
        async for message in socket:
            if (form == "zstd") != isinstance(message, bytes):
                sys.exit("the message is of the wrong type")
            if isinstance(message, bytes):
                message = decoder.decompress(message, max_output_size=1 << 24)
            event = json.loads(message)
            if event["kind"] == "caughtUp":
                return
            print(describe(event))


asyncio.run(main(*sys.argv[1:]))
