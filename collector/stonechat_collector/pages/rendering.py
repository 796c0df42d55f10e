"""The templates with their filters: every value that a page shows is escaped, unless it is markup that we made."""

from __future__ import annotations

import json
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from stonechat import __version__, judgements
from stonechat.waterfall import PHASES
from stonechat_collector.pages import answers, exchanges, fleet, words
from stonechat_collector.pages.assets import Assets


class Renderer:
    """Renders the templates of this package."""

    def __init__(self, assets: Assets) -> None:
        environment = Environment(
            loader=PackageLoader("stonechat_collector.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.filters.update(
            figure=words.figure_html,
            ago=words.ago_html,
            since=words.since_html,
            exact=words.exact,
            instant=words.instant,
            plural=words.plural,
            last=words.last_words,
            fact=words.text_of,
            sentence=words.sentence,
            json=_json,
            status=words.status_word,
            model=fleet.model_of,
            hardware=fleet.hardware_of,
            words=exchanges.name_words,
            finding=judgements.finding_words,
            said=judgements.said,
            pair=lambda name, plain=False: (name, name if plain else exchanges.name_words(name)),
            finding_pair=lambda name: (name, judgements.finding_words(name)),
            us=lambda count: words.figure_html(None if count is None else count / 1_000_000, "s"),
        )
        environment.globals.update(
            asset=assets.path,
            version=__version__,
            PHASES=PHASES,
            PER_THOUSAND=words.PER_THOUSAND,
            SPARKS=answers.SPARKS,
            MEANINGS={status.word: status.meaning for status in words.STATUSES},
        )
        self._environment = environment

    def __call__(self, template: str, **values: Any) -> str:
        """The page of a template. Raises jinja2.UndefinedError for a value that it lacks."""
        return self._environment.get_template(template).render(values)


def _json(value: Any) -> Markup:
    """JSON for a script element that is data: nothing in it can end the element or begin another."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704
