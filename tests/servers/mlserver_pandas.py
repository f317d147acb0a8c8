"""The runtime of MLServer's pandas variant, as its documentation shows: a DataFrame in, a column of scores out."""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, PandasCodec
from mlserver.types import InferenceResponse
from model import CHANNELS, COUNTRIES, NUMBERS, margin


class Fraud(MLModel):
    async def load(self) -> bool:
        return True

    async def predict(self, payload):
        frame = self.decode_request(payload, default_codec=PandasCodec)
        known = frame["country"].map(COUNTRIES).fillna(0) + frame["channel"].map(CHANNELS).fillna(0)
        scores = 1 / (1 + np.exp(-margin(*(frame[name] for name in NUMBERS)) - known))
        output = NumpyCodec.encode_output("score", scores.to_numpy(dtype=float))
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])
