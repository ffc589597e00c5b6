"""Replies made of Jinja2 templates, with Starlette's names; `pip install jinja2`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

try:
    import jinja2
except ImportError as exc:
    raise ImportError("weft.templating needs jinja2: pip install jinja2") from exc

from weft.datastructures import URL
from weft.requests import Request
from weft.responses import Background, HTMLResponse

PathLike = str | os.PathLike[str]
ContextProcessor = Callable[[Request], Mapping[str, Any]]


class TemplateResponse(HTMLResponse):
    """A rendered template, and what it was rendered with, for middleware and tests to look at."""

    def __init__(
        self,
        template: jinja2.Template,
        context: dict[str, Any],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: Background | None = None,
    ) -> None:
        self.template = template
        self.context = context
        super().__init__(template.render(context), status_code, headers, media_type, background)


class Jinja2Templates:
    """The templates of a directory, of several, or of a `jinja2.Environment` of your own:
    `templates = Jinja2Templates(directory="templates")`.

    What .html, .htm and .xml templates print is escaped; `env` may do otherwise. In each are
    `request`, `url_for(name, **path_params)` and what `context_processors` make of the request.
    `ValueError` for neither a directory nor an `env`, and for both.
    """

    def __init__(
        self,
        directory: PathLike | Sequence[PathLike] | None = None,
        *,
        context_processors: Sequence[ContextProcessor] | None = None,
        env: jinja2.Environment | None = None,
    ) -> None:
        if (directory is None) == (env is None):
            raise ValueError("Jinja2Templates takes a directory or an env, and not both")
        self.context_processors = list(context_processors or ())
        if env is None:
            assert directory is not None
            loader = jinja2.FileSystemLoader(directory)
            env = jinja2.Environment(loader=loader, autoescape=jinja2.select_autoescape())
        self.env = env
        self.env.globals.setdefault("url_for", _url_for)

    def get_template(self, name: str) -> jinja2.Template:
        """The template, loaded when it is first asked for or has changed.

        `jinja2.TemplateNotFound` when there is none.
        """
        return self.env.get_template(name)

    def TemplateResponse(
        self,
        request: Request,
        name: str,
        context: Mapping[str, Any] | None = None,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: Background | None = None,
    ) -> TemplateResponse:
        """The reply that template `name` makes of `context`; what Jinja2 raises passes through.

        Where a context processor and `context` use the same name, the processor wins.
        """
        values: dict[str, Any] = {"request": request, **(context or {})}
        for processor in self.context_processors:
            values.update(processor(request))
        template = self.get_template(name)
        return TemplateResponse(template, values, status_code, headers, media_type, background)


@jinja2.pass_context
def _url_for(context: jinja2.runtime.Context, name: str, /, **path_params: Any) -> URL:
    request: Request = context["request"]
    return request.url_for(name, **path_params)
