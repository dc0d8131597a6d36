"""A WebSocket server of the real `websockets`, that says everything back.

    websocket_server.py PORT

Says `serving` on standard error. Speaks `chat.v2`, and compresses where the client does.
"""

import asyncio
import sys

from websockets.asyncio.server import serve


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def main():
    async with serve(echo, "127.0.0.1", int(sys.argv[1]), subprotocols=["chat.v2"], max_size=None):
        print("serving", file=sys.stderr, flush=True)
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
