#!/usr/bin/env python3
"""A line with a delay: `delay.py ADDRESS PORT MILLISECONDS` prints the port it listens on and holds back what passes, each way."""

import asyncio
import sys


async def main(address, port, wait):
    loop = asyncio.get_running_loop()

    async def pump(reader, writer):
        def late(data):
            if data:
                writer.write(data)
            elif writer.can_write_eof():
                writer.write_eof()

        try:
            while data := await reader.read(1 << 16):
                loop.call_later(wait, late, data)
        except ConnectionError:
            pass
        loop.call_later(wait, late, b"")

    async def accept(reader, writer):
        far_reader, far_writer = await asyncio.open_connection(address, port)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000))
