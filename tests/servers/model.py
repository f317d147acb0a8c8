"""One small tabular model for all servers, and rows for it: ``python model.py`` writes the rows."""

import math

NUMBERS = ("amount", "hour", "device_age_days", "ip_risk", "attempts")
COUNTRIES = {"DE": 0.0, "US": 0.05, "FR": 0.1, "BR": 0.25, "NG": 0.3}
CHANNELS = {"web": 0.0, "app": 0.07, "phone": 0.16}
COLUMNS = (*NUMBERS, "country", "channel")


def margin(amount, hour, device_age_days, ip_risk, attempts):
    """Works on floats and on columns."""
    return amount / 400 + (hour - 12) / 30 - device_age_days / 900 + 1.5 * ip_risk + attempts / 5 - 1


def score(row):
    """Probability of fraud of one row, as people write it: what is not known counts for nothing."""
    known = COUNTRIES.get(row["country"], 0.0) + CHANNELS.get(row["channel"], 0.0)
    return 1 / (1 + math.exp(-margin(*(row[name] for name in NUMBERS)) - known))


def rows(count=40):
    """Different rows, the same on every machine."""
    countries, channels = list(COUNTRIES), list(CHANNELS)
    return [
        {
            "amount": round(5 + 37.13 * k % 480, 2),
            "hour": float(k * 7 % 24),
            "device_age_days": round(k * 91.7 % 800, 1),
            "ip_risk": round(k * 0.377 % 1, 3),
            "attempts": float(k * 5 % 6),
            "country": countries[k * 3 % 5],
            "channel": channels[k % 3],
        }
        for k in range(count)
    ]


if __name__ == "__main__":
    import json
    import sys

    for row in rows():
        sys.stdout.write(json.dumps(row) + "\n")
