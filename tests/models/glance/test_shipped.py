"""The folder that ships."""

from __future__ import annotations

import numpy as np
import pytest

from stonechat_agent.scoring.judging import card
from stonechat_agent.scoring.judging.glance import Glance
from stonechat_models import model_path, verify

ABOUT_THE_SAME = [
    ("How do I bake bread at home?", "What is the way to make a loaf in my own oven?"),
    ("The train to Berlin leaves at nine.", "At nine o'clock the Berlin train departs."),
    ("Take two tablets of ibuprofen every six hours.", "You can have a dose of ibuprofen four times a day."),
    ("Our shop sells used phones for 99 euros.", "We offer second-hand phones, the price is 99 euros."),
]


@pytest.fixture(scope="module")
def glance() -> Glance:
    verify("glance")
    return Glance(card.load(model_path("glance")), 1)


def test_is_as_small_as_it_says(glance: Glance) -> None:
    assert glance.card.size_bytes <= 3_000_000
    assert glance.dimensions <= 64


def test_tells_abuse_from_courtesy(glance: Glance) -> None:
    toxic = next(label.column for label in glance.card.labels if label.name == "toxic")
    pairs = [
        ("", "You are a worthless idiot and everybody hates you."),
        ("", "Thank you for your kind letter."),
    ]
    rude, kind = glance.run(pairs).logits[:, toxic]
    assert rude > kind + 2


def test_texts_about_the_same_are_nearer_than_others(glance: Glance) -> None:
    one, other = (
        glance.run([("", text) for text in side]).embedding for side in zip(*ABOUT_THE_SAME, strict=True)
    )
    nearness = one @ other.T
    same = np.diag(nearness)
    # Rare words share buckets, so one pair in some is not seen as one.
    assert same.mean() > 0.6
    assert np.median(same) > nearness[~np.eye(len(same), dtype=bool)].max()
