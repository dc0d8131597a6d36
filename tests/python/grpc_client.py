"""A gRPC client of the real `grpcio`, that makes the calls it is told and tells what came of them.

    grpc_client.py ADDRESS < calls.json > results.json

A call: {"method", "send": [messages], "pause": seconds between them, "timeout", "metadata": [[name, value]]}. A result:
{"code", "details", "replies", "initial", "trailing", "seconds"}. All of them on one channel, one after the other.
"""

import json
import sys
import time

import grpc

CLIENT_STREAMS = {"Upload", "Chat"}
SERVER_STREAMS = {"Download", "Chat"}


def paced(call):
    for number, message in enumerate(call["send"]):
        if number:
            time.sleep(call.get("pause", 0))
        yield message


def make(channel, call):
    method = call["method"]
    kind = ("stream" if method in CLIENT_STREAMS else "unary") + "_"
    kind += "stream" if method in SERVER_STREAMS else "unary"
    stub = getattr(channel, kind)(
        f"/{call.get('service', 'test.Wishes')}/{method}",
        request_serializer=lambda value: json.dumps(value).encode(),
        response_deserializer=json.loads,
    )
    options = {"timeout": call.get("timeout", 30), "metadata": [tuple(pair) for pair in call.get("metadata", [])]}
    sent = paced(call) if method in CLIENT_STREAMS else call["send"][0]
    replies, began = [], time.monotonic()
    try:
        if method in SERVER_STREAMS:
            running = stub(sent, **options)
            for reply in running:
                replies.append(reply)
        else:
            reply, running = stub.with_call(sent, **options)
            replies.append(reply)
    except grpc.RpcError as error:
        running = error
    return {
        "code": running.code().name,
        "details": running.details(),
        "replies": replies,
        "initial": dict(running.initial_metadata() or []),
        "trailing": dict(running.trailing_metadata() or []),
        "seconds": time.monotonic() - began,
    }


# A retry of the library's own would hide what the proxy does.
with grpc.insecure_channel(sys.argv[1], options=[("grpc.enable_retries", 0)]) as channel:
    json.dump([make(channel, call) for call in json.load(sys.stdin)], sys.stdout)
