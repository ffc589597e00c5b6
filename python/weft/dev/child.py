"""The child of `weft dev`: serves the App on sockets it is handed, or a page that says why not.

`python -m weft.dev.child TARGET DIRECTORY LOG_LEVEL ACCESS_LOG ROOT_PATH DIED ALIVE FD ...`

DIED is how the child before this one ended by itself, or empty; then its application is not loaded.
ALIVE is the reading end of a pipe: at its end the parent is gone, and so are we.
"""

from __future__ import annotations

import asyncio
import os
import sys

from weft import log
from weft.app import App
from weft.dev.errors import install, page
from weft.dev.view import PREFIX, View
from weft.exceptions import SignatureError
from weft.loading import Problem, load_app
from weft.loop import new_event_loop
from weft.requests import Request
from weft.responses import Response
from weft.server import Config, Server


def main() -> None:
    os.environ.setdefault("WEFT_ENV", "development")
    target, directory, level, access_log, root_path, died, alive, *fds = sys.argv[1:]
    log.configure(level)
    config = Config(
        log_level=level,
        access_log=access_log == "1",
        root_path=root_path,
        fds=tuple(map(int, fds)),
    )
    try:
        if died:
            raise Problem(died)
        app = load_app(target, directory)
        install(app)
        serve(app, config, int(alive), View(app))
        return
    except Problem as exc:
        if not died:  # which the parent has told
            log.logger.error("%s", exc)
        why: BaseException = exc.__cause__ or exc
    except SignatureError as exc:
        log.logger.error("%s", exc)
        why = exc
    except Exception as exc:  # of the lifespan
        log.logger.exception("The application does not start.")
        why = exc
    serve(broken(why), config, int(alive))


def serve(app: App, config: Config, alive: int, view: View | None = None) -> None:
    """Until SIGINT or SIGTERM, or the parent's end; raises what keeps it from starting."""

    def parent_gone() -> None:
        asyncio.get_running_loop().remove_reader(alive)
        server.stop()

    def ready() -> None:
        asyncio.get_running_loop().add_reader(alive, parent_gone)
        for address in server.addresses:
            url = address if address.startswith("unix:") else f"http://{address}"
            log.logger.info("weft dev running on %s (Press CTRL+C to quit)", url)
            if view is not None and url.startswith("http:"):
                log.logger.info("What it does is shown on %s%s/", url, PREFIX)

    server = Server(app, config, view=view)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        try:
            runner.run(server.serve(ready))
        except asyncio.CancelledError:
            raise SystemExit(1) from None


def broken(why: BaseException) -> App:
    """An App that answers every request with why the real one cannot be served."""
    app = App(openapi_url=None)

    @app.api_route(
        "/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
    )
    async def show(request: Request) -> Response:
        return page(why, request, "The application cannot be served")

    return app


if __name__ == "__main__":
    main()
