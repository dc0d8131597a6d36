"""A gRPC server of the real `grpcio`, that does what a request asks for.

    grpc_server.py NAME PORT

Messages are JSON without a schema, so that no code has to be generated. Says `serving` on standard error.
"""

import json
import sys
import time
from concurrent import futures

import grpc

NAME, PORT = sys.argv[1], int(sys.argv[2])


def dump(value):
    return json.dumps(value).encode()


def obey(wish, context):
    """Fails or waits as the wish says, and tells what the server sees of the call."""
    seen = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
    if "trailing" in wish:
        context.set_trailing_metadata([tuple(pair) for pair in wish["trailing"]])
    if wish.get("headers"):
        context.send_initial_metadata([tuple(pair) for pair in wish["headers"]])
    time.sleep(wish.get("sleep", 0))
    attempt = int(seen.get("x-causeway-attempt", "0"))
    if "fail" in wish and attempt <= wish.get("until", 99):
        code = getattr(grpc.StatusCode, wish["fail"])
        context.abort(code, wish.get("details", "as you wish"))
    left = context.time_remaining()
    return {"name": NAME, "attempt": attempt, "left": left if left and left < 1e6 else None, "seen": seen}


def unary(wish, context):
    return {**obey(wish, context), "say": wish.get("say")}


def download(wish, context):
    for number in range(wish.get("messages", 3)):
        yield {"number": number, "filler": "x" * wish.get("size", 0)}
    obey(wish, context)


def upload(wishes, context):
    wishes = list(wishes)
    return {**obey(wishes[-1] if wishes else {}, context), "messages": len(wishes)}


def chat(wishes, context):
    for wish in wishes:
        obey(wish, context)
        yield {"say": wish["say"].upper()}


coding = {"request_deserializer": json.loads, "response_serializer": dump}
METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary, **coding),
    "Download": grpc.unary_stream_rpc_method_handler(download, **coding),
    "Upload": grpc.stream_unary_rpc_method_handler(upload, **coding),
    "Chat": grpc.stream_stream_rpc_method_handler(chat, **coding),
}

server = grpc.server(futures.ThreadPoolExecutor(max_workers=32))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Wishes", METHODS)])
if server.add_insecure_port(f"127.0.0.1:{PORT}") != PORT:
    sys.exit(f"port {PORT} is taken")
server.start()
print("serving", file=sys.stderr, flush=True)
server.wait_for_termination()
