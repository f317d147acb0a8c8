"""Production and strangers are not sent anything unless they were named."""

import pytest

from simulator.targets.guard import objections
from simulator.targets.model import Target


def target(url="http://127.0.0.1:1", **more):
    return Target.model_validate({"target": 1, "start": {"url": url}, "protocol": "json", **more})


@pytest.mark.parametrize(
    ("url", "more", "allowed", "refused"),
    [
        ("http://127.0.0.1:1", {}, (), 0),
        ("http://localhost:$port", {}, (), 0),
        ("http://[::1]:80", {}, (), 0),
        ("http://127.0.0.1.evil.example", {}, (), 1),
        ("http://localhost@evil.example", {}, (), 1),
        ("https://staging.example", {}, (), 1),
        ("https://staging.example", {"hosts": ["staging.example"]}, (), 0),
        ("https://staging.example", {}, ("staging.example",), 0),
        ("http://127.0.0.1:1", {"environment": "production"}, (), 1),
        ("http://127.0.0.1:1", {"environment": "Prod"}, (), 1),
        ("http://127.0.0.1:1", {"environment": "production"}, ("production",), 0),
        ("http://127.0.0.1:1", {"toxiproxy": "http://toxiproxy:8474"}, (), 1),
        ("http://127.0.0.1:1", {"toxiproxy": "http://toxiproxy:8474", "hosts": ["toxiproxy"]}, (), 0),
        ("http://127.0.0.1:1", {"toxiproxy": "http://127.0.0.1:8474"}, (), 0),
        ("https://shop.example", {"environment": "production"}, ("production",), 1),
    ],
)  # fmt: skip
def test_what_is_refused(url, more, allowed, refused):
    assert len(objections(target(url, **more), allowed)) == refused


def test_the_marker_is_a_header_or_nothing():
    assert target().marked() == ((b"x-synthetic-traffic", b"seatrial"),)
    assert target(marker="X-Test: yes").marked() == ((b"x-test", b"yes"),)
    assert target(marker=None).marked() == ()
    with pytest.raises(ValueError, match="one header"):
        target(marker="a: b\r\nhost: evil")
