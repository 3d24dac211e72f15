"""A world of card payments: seasonal traffic, segments, correlated inputs, and regions where nobody can tell."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import numpy as np

from sickbay.lab.systems.batch import Array, Floats, stream
from sickbay.lab.systems.scoring import Settings

COUNTRIES = ("DE", "FR", "IT", "ES", "PL")
CHANNELS = ("app", "web", "phone")
MERCHANTS = ("grocery", "travel", "electronics", "fashion", "games", "fuel", "restaurant", "jewellery")


class Fraud:
    """Card payments. Some segments (drawn from the seed) and large amounts from new accounts are hard to judge."""

    name = "fraud"
    segments: tuple[str, ...] = ("country", "channel")
    defaults: Mapping[str, Any] = MappingProxyType({})

    def rows(self, settings: Settings, seed: int, count: int, *, history: bool) -> tuple[Array, dict[str, Array]]:
        """Return times (seasonal by hour and weekday) and raw columns."""
        rng = stream(seed, "history" if history else "traffic")
        if history:
            start, days = settings.start - timedelta(days=60), 56.0
        else:
            start, days = settings.start, float(settings.days)
        times = _seasonal(rng, count, start, days)
        hours = (times.astype("datetime64[h]").astype(int) % 24).astype(np.float64)
        shares = self._shares(seed)
        country = rng.choice(COUNTRIES, count, p=shares[0]).astype(object)
        channel = rng.choice(CHANNELS, count, p=shares[1]).astype(object)
        merchant = rng.choice(MERCHANTS, count, p=shares[2]).astype(object)
        wealth = rng.normal(size=count) + 0.4 * np.isin(country, ["DE", "FR"])
        age = np.clip(38 + 13 * rng.normal(size=count) + 3 * wealth, 18, 92).round(0)
        account_days = np.round(np.exp(5.6 + 0.9 * rng.normal(size=count) + 0.01 * (age - 38)), 0)
        amount = np.round(np.exp(3.1 + 0.8 * rng.normal(size=count) + 0.35 * wealth + _lift(merchant)), 2)
        balance = np.round(np.exp(6.8 + 0.8 * rng.normal(size=count) + 0.6 * wealth), 2)
        tries = rng.poisson(np.exp(0.4 + 0.25 * (channel == "app") + 0.2 * rng.normal(size=count)), count)
        columns: dict[str, Array] = {
            "amount": amount,
            "balance": balance,
            "customer_age": age,
            "account_days": account_days,
            "payments_24h": tries.astype(np.float64),
            "distance_km": np.round(np.exp(1.5 + 1.3 * rng.normal(size=count) + 0.5 * (channel == "phone")), 1),
            "device_trust": np.round(rng.beta(4, 2, count), 4),
            "basket_items": np.maximum(1, np.round(amount / np.exp(2.6 + 0.5 * rng.normal(size=count)))),
            "hour": hours,
            "country": country,
            "channel": channel,
            "merchant": merchant,
        }
        for i in range(settings.noise_features):
            columns[f"signal_{i}"] = np.round(rng.normal(size=count) * (1 + i), 4)
        return times, columns

    def logit(self, columns: Mapping[str, Array], settings: Settings, seed: int) -> Floats:
        """Return the log odds of fraud: additive with interactions, and flat where nobody can tell."""
        c = {name: values for name, values in columns.items() if values.dtype != object}
        rng = stream(seed, "world")
        wave = rng.normal(1.0, 0.2, 6)
        z = (
            1.1 * wave[0] * (np.log1p(c["amount"]) - 3.3)
            - 0.9 * wave[1] * (np.log1p(c["account_days"]) - 5.6)
            - 3.5 * wave[2] * (c["device_trust"] - 0.66)
            + 0.5 * wave[3] * (np.log1p(c["distance_km"]) - 1.8)
            + 0.45 * wave[4] * (c["payments_24h"] - 1.7)
            + 0.5 * wave[5] * ((c["hour"] < 6) | (c["hour"] > 22))
            - 0.25 * (np.log1p(c["balance"]) - 6.9)
            + 0.6 * np.isin(columns["merchant"], ["electronics", "games", "jewellery"])
            + 0.5 * (c["amount"] > 60) * (c["account_days"] < 150)
        )
        steep = np.full(len(z), 9.0)
        steep[self.hard(columns, seed)] = 0.7
        steep *= np.where((np.log1p(c["amount"]) > 4.4) | (c["account_days"] < 80), 0.2, 1.0)
        # the offset that gives the base rate is taken from the world's own spread, not from these rows
        offset = _offset(settings.base_rate)
        return np.asarray(steep * (z - offset), dtype=np.float64)

    def hard(self, columns: Mapping[str, Array], seed: int) -> Array:
        """Return which rows lie in the segments where the label is mostly chance."""
        country, channel = self.hard_segments(seed)
        return np.asarray(
            (columns["country"] == country) | ((columns["channel"] == channel) & (columns["country"] != "DE"))
        )

    def hard_segments(self, seed: int) -> tuple[str, str]:
        """Return the country and the channel that are hard in the world of this seed."""
        rng = stream(seed, "hard segments")
        return str(rng.choice(COUNTRIES[2:])), "phone"

    def _shares(self, seed: int) -> list[Floats]:
        """Return the usual mix over countries, channels, merchants; hard segments are small."""
        rng = stream(seed, "mix")
        country = rng.dirichlet([18, 14, 6, 5, 4])
        country[COUNTRIES.index(self.hard_segments(seed)[0])] = 0.05
        channel = np.array([0.62, 0.34, 0.04])
        merchant = rng.dirichlet(np.full(len(MERCHANTS), 8.0))
        return [country / country.sum(), channel, merchant]


def _seasonal(rng: np.random.Generator, count: int, start: object, days: float) -> Array:
    """Return sorted times with a daily and a weekly rhythm."""
    hours = np.arange(int(np.ceil(days * 24)))
    origin = np.datetime64(start, "us")  # type: ignore[call-overload]
    weekday = ((origin + hours.astype("timedelta64[h]")).astype("datetime64[D]").astype(int) + 3) % 7
    weight = (1 + 0.7 * np.sin((hours % 24 - 9) / 24 * 2 * np.pi)) * np.where(weekday >= 5, 0.7, 1.0)
    chosen = rng.choice(hours, count, p=weight / weight.sum())
    offset = (chosen + rng.random(count)) * 3600e6
    return np.asarray(np.sort(origin + offset.astype("timedelta64[us]")))


def _lift(merchant: Array) -> Floats:
    lifts = {"grocery": -0.3, "travel": 0.9, "electronics": 0.7, "fashion": 0.2, "games": -0.2, "fuel": 0.0}
    return np.array([lifts.get(m, 0.1) for m in merchant.tolist()])


def _offset(base_rate: float) -> float:
    """Return the cut of the world's score that about this share of payments passes (measured on its own spread)."""
    from scipy.stats import norm

    return float(0.35 + 1.55 * norm.ppf(1 - base_rate))
