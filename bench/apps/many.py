"""Many routes in included routers. It imports nothing of either: starts are timed."""

from typing import Any


def declare_many(app: Any, router_class: Any, count: int = 200) -> None:
    """`count` routes, ten in each router, all of them in one that is included under /api."""
    outer = router_class(prefix="/v1")
    for group in range(count // 10):
        router = router_class(prefix=f"/group{group}")
        for i in range(10):

            async def get_item(item_id: int, q: str | None = None):
                return {"item_id": item_id, "q": q}

            router.get(f"/things{i}/{{item_id}}", name=f"get_{group}_{i}")(get_item)
        outer.include_router(router)
    app.include_router(outer, prefix="/api")
