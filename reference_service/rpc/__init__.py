"""The Open Inference Protocol v2 over gRPC, on the same core as REST."""
