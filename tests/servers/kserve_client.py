"""Run by KServe's interpreter: asks a server by both of KServe's clients; prints what each was answered, as JSON.

Arguments: HTTP port, gRPC port. On stdin: the inputs of a request as the protocol has them.
"""

import asyncio
import json
import sys

from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig


def plain(response):
    return {o.name: [v.decode() if isinstance(v, bytes) else v for v in o.data] for o in response.outputs}


async def main(http, grpc, inputs):
    rest, url = InferenceRESTClient(RESTConfig(protocol="v2")), f"http://127.0.0.1:{http}"
    rpc = InferenceGRPCClient(f"127.0.0.1:{grpc}")

    def request():
        made = [InferInput(one["name"], one["shape"], one["datatype"], one["data"]) for one in inputs]
        return InferRequest("payments", made)

    return {
        "ready": [
            await rest.is_server_live(url), await rest.is_server_ready(url), await rest.is_model_ready(url, "payments"),
            await rpc.is_server_live(), await rpc.is_server_ready(), await rpc.is_model_ready("payments"),
        ],
        "rest": plain(await rest.infer(url, request(), model_name="payments")),
        "grpc": plain(await rpc.infer(request())),
    }  # fmt: skip


json.dump(asyncio.run(main(*sys.argv[1:3], json.load(sys.stdin))), sys.stdout)
