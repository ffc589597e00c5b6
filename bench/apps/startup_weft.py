"""An app with many routes, for bench/startup.py."""

import os

from bench.apps.many import declare_many
from weft import App, Router

app = App()
declare_many(app, Router, int(os.environ["BENCH_ROUTES"]))
