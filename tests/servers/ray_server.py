"""A Ray Serve deployment with @serve.batch."""

import queue
import signal
import sys

import ray
from model import score
from ray import serve


@serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 0.5})
class Fraud:
    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.02)
    async def scored(self, rows):
        return [{"score": score(row)} for row in rows]

    async def __call__(self, request):
        return await self.scored(await request.json())


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    # In place of Ray's own handler, which ends the process at once, and before anybody hears that it is ready.
    ended = queue.SimpleQueue()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: ended.put(None))
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Fraud.bind(), route_prefix="/predict")
    ended.get()
    serve.shutdown()
    ray.shutdown()
