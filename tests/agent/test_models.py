"""Model names out of traffic: only what an engine lists, or the configuration does, is passed on."""

from __future__ import annotations

import pytest

from stonechat.exchange import Exchange, Source
from stonechat_agent.models import MOST, KnownModels


def settled(models: KnownModels, request: str | None, response: str | None) -> tuple[str | None, str | None]:
    exchange = Exchange(engine="box", request_model=request, response_model=response)
    models.settle(exchange)
    return exchange.request_model, exchange.response_model


@pytest.mark.parametrize(
    ("request_model", "response_model", "expected"),
    [
        ("qwen:0.5b", "qwen:0.5b", ("qwen:0.5b", "qwen:0.5b")),
        ("llama3", "llama3", ("llama3", "llama3")),
        ("llama3:latest", None, ("llama3:latest", None)),
        ("my-secret", "qwen:0.5b", ("other", "qwen:0.5b")),
        ("my-secret", "my-secret", ("other", "other")),
        ("tuned", None, ("tuned", None)),
        (None, None, (None, None)),
        ("other", "other", ("other", "other")),
    ],
)
def test_names_that_no_one_lists_are_other(
    request_model: str | None, response_model: str | None, expected: tuple[str | None, str | None]
) -> None:
    models = KnownModels({"box": ["tuned"]})
    models.listed("box", ["qwen:0.5b", "llama3:latest"])
    assert settled(models, request_model, response_model) == expected


def test_a_name_is_known_once_the_engine_lists_it() -> None:
    models = KnownModels({})
    for name, known in (("new", False), (None, True), ("other", True)):
        assert models.knows(Exchange(engine="box", request_model="typo", response_model=name)) == known
    models.listed("box", ["new"])
    assert models.knows(Exchange(engine="box", response_model="new"))
    assert settled(models, "new", "new") == ("new", "new")


def test_what_an_application_calls_its_model_stays() -> None:
    models = KnownModels({})
    told = Exchange(engine="box", response_model="in-process", source=Source.RECORD)
    assert models.knows(told)
    models.settle(told)
    assert told.response_model == "in-process"


def test_engines_do_not_lend_each_other_names_and_a_list_has_a_bound() -> None:
    models = KnownModels({})
    models.listed("shelf", ["qwen"])
    assert settled(models, "qwen", "qwen") == ("other", "other")
    models.listed("box", [f"m{n:04}" for n in range(2 * MOST)])
    assert settled(models, "m0000", f"m{2 * MOST - 1:04}") == ("m0000", "other")
