"""A WebSocket client of the real `websockets`: sends a text and long bytes, and tells what came back.

    websocket_client.py URL < {"text", "bytes": how many} > {"subprotocol", "text", "bytes", "close"}
"""

import asyncio
import json
import sys

from websockets.asyncio.client import connect


async def main():
    wish = json.load(sys.stdin)
    async with connect(sys.argv[1], subprotocols=["chat.v2"], max_size=None) as connection:
        await connection.send(wish["text"])
        text = await connection.recv()
        await connection.send(bytes(wish["bytes"]))
        length = len(await connection.recv())
        pong = await connection.ping()
        await pong
        await connection.close(4000, "enough")
        result = {
            "subprotocol": connection.subprotocol,
            "text": text,
            "bytes": length,
            "close": connection.close_code,
        }
    json.dump(result, sys.stdout)


asyncio.run(main())
