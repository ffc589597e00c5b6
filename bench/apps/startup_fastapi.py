"""An app with many routes, for bench/startup.py."""

import os

from fastapi import APIRouter, FastAPI

from bench.apps.many import declare_many

app = FastAPI()
declare_many(app, APIRouter, int(os.environ["BENCH_ROUTES"]))
