"""A hundred tasks that count and read over one connection.

python examples/cache_asyncio.py                         # starts a memcached itself
python examples/cache_asyncio.py memcached://127.0.0.1:11211
"""

from __future__ import annotations

import asyncio
import sys

import cenote


async def visit(mc: cenote.AsyncClient, page: str) -> int | None:
    return await mc.incr(f"visits:{page}", initial=1)


async def main() -> None:
    url = sys.argv[1] if len(sys.argv) > 1 else "local://"
    async with cenote.AsyncClient(url, key_prefix="example:") as mc:
        await mc.delete("visits:home")
        counts = await asyncio.gather(*(visit(mc, "home") for _ in range(100)))
        print("each visit got a number of its own:", len(set(counts)) == 100)
        print("the last one:", await mc.get("visits:home"))
        for server, stats in mc.pools().items():
            print(f"connections to {server}:", stats.created)


if __name__ == "__main__":
    asyncio.run(main())
