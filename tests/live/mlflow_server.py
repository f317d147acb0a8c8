"""MLflow's own scoring server around a small model with a signature: a foreign service to be honest against."""

import sys
import tempfile

import mlflow
import pandas as pd
import uvicorn
from mlflow.models import ModelSignature
from mlflow.pyfunc import scoring_server
from mlflow.types import ColSpec, Schema

COLUMNS = {
    "customer_id": "long", "amount": "double", "merchant_category": "string", "payment_method": "string",
    "country": "string", "channel": "string", "hour": "long", "device_age_days": "double", "is_new_device": "boolean",
    "basket_size": "long", "ip_risk": "double", "distance_km": "double", "attempts_1h": "long",
    "email_age_days": "double",
}  # fmt: skip


class Scorer(mlflow.pyfunc.PythonModel):
    """As people write them: it fills what is missing and says nothing."""

    def predict(self, context, model_input: pd.DataFrame, params=None):
        del context, params
        frame = model_input.fillna({"amount": 0.0, "ip_risk": 0.0})
        risk = frame["amount"] / 1000 + frame["ip_risk"] / 2 + (frame["payment_method"] == "prepaid") * 0.2
        return risk.clip(0, 1).tolist()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        signature = ModelSignature(Schema([ColSpec(kind, name) for name, kind in COLUMNS.items()]))
        mlflow.pyfunc.save_model(f"{folder}/model", python_model=Scorer(), signature=signature, pip_requirements=[])
        app = scoring_server.init(mlflow.pyfunc.load_model(f"{folder}/model"))
        uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")


if __name__ == "__main__":
    main()
