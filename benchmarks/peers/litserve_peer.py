"""LitServe around the same booster: ``litserve_peer.py FOLDER PORT``. One worker, a named row in, a score out."""

import sys

import lightgbm
import litserve
import numpy as np

FOLDER, PORT = sys.argv[1:]


class Api(litserve.LitAPI):
    def setup(self, device):
        self.booster = lightgbm.Booster(model_file=f"{FOLDER}/model.bst")
        self.names = self.booster.feature_name()

    def decode_request(self, request):
        row = [request[name] for name in self.names]
        return np.array([[float("nan") if value is None else value for value in row]])

    def predict(self, x):
        return self.booster.predict(x, num_threads=1)

    def encode_response(self, output):
        return {"score": float(output[0])}


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=1)
    server.run(port=int(PORT), host="127.0.0.1", generate_client_file=False, log_level="warning")
