"""LitServe with its own batching: rows that arrive together are scored together."""

import sys

import litserve as ls
import numpy as np
from model import CHANNELS, COUNTRIES, NUMBERS, margin


class Api(ls.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        known = COUNTRIES.get(request["country"], 0.0) + CHANNELS.get(request["channel"], 0.0)
        return np.array([*(request[name] for name in NUMBERS), known], dtype=float)

    def predict(self, x):
        x = np.atleast_2d(x)
        return 1 / (1 + np.exp(-margin(*x[:, :5].T) - x[:, 5]))

    def encode_response(self, output):
        return {"score": float(np.ravel(output)[0])}


if __name__ == "__main__":
    server = ls.LitServer(Api(max_batch_size=8, batch_timeout=0.02), accelerator="cpu", workers_per_device=1)
    server.run(port=int(sys.argv[1]), host="127.0.0.1", generate_client_file=False, log_level="warning")
