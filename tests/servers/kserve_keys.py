"""Run by KServe's interpreter: prints the keys of an InferenceService that KServe's own Python models do not know."""

import re
import sys
from pathlib import Path

import kserve
import yaml
from kubernetes import client


def tell_unknown(kind, value):
    inner = re.fullmatch(r"(?:list\[|dict\(str, )(.*)[\])]", kind)
    if inner:
        for one in value.values() if isinstance(value, dict) else value:
            tell_unknown(inner[1], one)
        return
    model = getattr(kserve, kind, None) or getattr(client, kind, None)
    if model is None or not isinstance(value, dict):
        return
    named = {json: python for python, json in model.attribute_map.items()}
    for key, part in value.items():
        if key not in named:
            sys.stdout.write(f"{kind} knows no {key}\n")
        else:
            tell_unknown(model.openapi_types[named[key]], part)


tell_unknown("V1beta1InferenceService", yaml.safe_load(Path(sys.argv[1]).read_text()))
