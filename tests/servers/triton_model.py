"""The model as Triton's documentation writes one in Python."""

import numpy as np
import triton_python_backend_utils as pb
from model import CHANNELS, COUNTRIES, NUMBERS, margin


class TritonPythonModel:
    def execute(self, requests):
        replies = []
        for request in requests:
            column = {
                name: pb.get_input_tensor_by_name(request, name).as_numpy()[:, 0]
                for name in (*NUMBERS, "country", "channel")
            }
            known = np.array(
                [
                    COUNTRIES.get(country.decode(), 0.0) + CHANNELS.get(channel.decode(), 0.0)
                    for country, channel in zip(column["country"], column["channel"], strict=True)
                ]
            )
            score = 1 / (1 + np.exp(-margin(*(column[name] for name in NUMBERS)) - known))
            replies.append(pb.InferenceResponse([pb.Tensor("score", score[:, None])]))
        return replies
