"""Ends TLS before a server on loopback, for clients that speak nothing else.

Arguments: the server's address, and the files of the certificate and its key. It prints its port.
"""

import asyncio
import ssl
import sys


async def pump(reader, writer):
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


async def main(address, certificate, key):
    host, port = address.rsplit(":", 1)

    async def connected(reader, writer):
        behind_reader, behind_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, behind_writer), pump(behind_reader, writer))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
