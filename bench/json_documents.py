"""The documents bench/json_codec.py measures. The same each time; modelled on what is sent around,
copied from nowhere."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Document:
    title: str
    data: bytes
    """Its JSON, without spaces unless a row is about these."""
    decode_only: bool = False
    """The JSON is laid out as encoders do not by themselves: only reading it says something."""
    wide: bool = False
    """It has text that is not ASCII: how fast that is written depends on what is kept in a str."""


def compact(obj: Any) -> bytes:
    return json.dumps(obj, ensure_ascii=False, separators=(",", ":")).encode()


def words_of(rng: random.Random, alphabet: str, lengths: tuple[int, ...]) -> list[str]:
    return ["".join(rng.choice(alphabet) for _ in range(n)) for n in lengths * 25]


LATIN = "abcdefghijklmnopqrstuvwxyz"
KANA = "".join(map(chr, range(0x3042, 0x3094))) + "日本語漢字東京大阪今日明日時間人間"
CYRILLIC = "абвгдежзийклмнопрстуфхцчшщыэюя"


def object_176() -> Any:
    return {
        "id": 12345,
        "name": "A fairly ordinary name",
        "email": "someone@example.com",
        "active": True,
        "balance": 1234.56,
        "tags": ["red", "green", "blue"],
        "address": {"city": "Springfield", "zip": "12345"},
        "parent": None,
    }


def login() -> Any:
    return {"username": "johndoe", "password": "correct horse battery staple", "remember": True}


def problem() -> Any:
    return {
        "detail": [
            {
                "type": "int_parsing",
                "loc": ["path", "item_id"],
                "msg": "Input should be a valid integer, unable to parse string as an integer",
                "input": "forty-two",
            }
        ]
    }


def order() -> Any:
    return {
        "order_id": "6f9619ff-8b86-d011-b42d-00cf4fc964ff",
        "created_at": "2026-03-14T15:09:26.535897+00:00",
        "customer": {"id": 90125, "name": "Ada Lovelace", "vip": False},
        "lines": [
            {"sku": f"AB-{i:05}", "title": f"Part number {i}", "quantity": i, "price": 9.99 * i}
            for i in range(1, 6)
        ],
        "total": 149.85,
        "currency": "EUR",
        "notes": None,
    }


def rows() -> Any:
    return [
        {"id": i, "name": f"item {i}", "price": i * 1.25, "in_stock": i % 3 != 0} for i in range(65)
    ]


def records(rng: random.Random) -> Any:
    words = words_of(rng, LATIN, (3, 5, 8, 13))
    return [
        {
            "id": i,
            "uid": f"{rng.getrandbits(128):032x}",
            "name": " ".join(rng.sample(words, 3)),
            "email": f"{rng.choice(words)}@example.com",
            "active": rng.random() < 0.5,
            "score": rng.random() * 100,
            "tags": rng.sample(words, 4),
            "address": {"street": " ".join(rng.sample(words, 2)), "zip": rng.randrange(99999)},
            "parent": None,
        }
        for i in range(4000)
    ]


def posts(rng: random.Random) -> Any:
    """Like a page of a social network: many members, text in several scripts, links, nulls."""
    latin = words_of(rng, LATIN, (2, 4, 7, 9))
    kana = words_of(rng, KANA, (2, 3, 5, 12))
    cyrillic = words_of(rng, CYRILLIC, (3, 6, 8, 10))

    def text() -> str:
        words = rng.choice((latin, latin, kana, kana, cyrillic))
        joined = (" " if words is not kana else "").join(rng.sample(words, 12))
        return joined + rng.choice(("", "\n", ' "' + rng.choice(words) + '"', " 😀", " 🎉🎉"))

    def user() -> dict[str, Any]:
        name = rng.choice(latin)
        return {
            "id": rng.randrange(10**10),
            "id_str": str(rng.randrange(10**10)),
            "name": rng.choice((rng.choice(kana), rng.choice(latin).title())),
            "screen_name": name,
            "location": rng.choice(("", "東京", "Berlin")),
            "description": text(),
            "url": f"https://example.com/{name}" if rng.random() < 0.4 else None,
            "protected": False,
            "followers_count": rng.randrange(100_000),
            "friends_count": rng.randrange(2000),
            "created_at": "Sat Aug 31 00:29:15 +0000 2013",
            "utc_offset": rng.choice((None, 32400)),
            "verified": rng.random() < 0.05,
            "statuses_count": rng.randrange(500_000),
            "lang": rng.choice(("ja", "en", "ru")),
            "profile_background_color": f"{rng.getrandbits(24):06X}",
            "profile_image_url": f"https://img.example.com/profile_images/{rng.getrandbits(60)}/n.jpeg",
            "profile_use_background_image": True,
            "default_profile": rng.random() < 0.5,
            "following": None,
        }

    return {
        "statuses": [
            {
                "metadata": {"result_type": "recent", "iso_language_code": "ja"},
                "created_at": "Sun Aug 31 00:29:15 +0000 2014",
                "id": rng.getrandbits(59),
                "id_str": str(rng.getrandbits(59)),
                "text": text(),
                "source": '<a href="https://example.com/app" rel="nofollow">an app</a>',
                "truncated": False,
                "in_reply_to_status_id": None,
                "in_reply_to_screen_name": None,
                "user": user(),
                "geo": None,
                "coordinates": None,
                "retweet_count": rng.randrange(100),
                "favorite_count": rng.randrange(1000),
                "entities": {
                    "hashtags": [{"text": rng.choice(kana), "indices": [3, 9]}],
                    "urls": [],
                    "user_mentions": [
                        {"screen_name": rng.choice(latin), "id": rng.getrandbits(31)}
                        for _ in range(rng.randrange(3))
                    ],
                },
                "favorited": False,
                "retweeted": False,
                "lang": "ja",
            }
            for _ in range(100)
        ],
        "search_metadata": {"completed_in": 0.087, "count": 100, "since_id": 0},
    }


def borders(rng: random.Random) -> Any:
    """Like GeoJSON: coordinates and little else."""

    def ring() -> list[list[float]]:
        lon, lat = rng.uniform(-140, -50), rng.uniform(42, 83)
        points = []
        for _ in range(200):
            lon += rng.uniform(-0.05, 0.05)
            lat += rng.uniform(-0.05, 0.05)
            points.append([round(lon, 6), round(lat, 6)] if rng.random() < 0.5 else [lon, lat])
        return points

    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "properties": {"name": f"Region {i}"},
                "geometry": {"type": "Polygon", "coordinates": [ring() for _ in range(3)]},
            }
            for i in range(20)
        ],
    }


def events(rng: random.Random) -> Any:
    """Like a ticket catalogue: ids as keys and values, many small objects, arrays and nulls."""
    ids = [rng.randrange(10**8, 10**9) for _ in range(300)]
    return {
        "areaNames": {str(i): f"Area {i % 97}" for i in ids[:20]},
        "events": {
            str(i): {
                "description": None,
                "id": i,
                "logo": f"/images/{i}.jpg" if i % 3 else None,
                "name": "An evening of chamber music",
                "subTopicIds": rng.sample(ids, 4),
                "subjectCode": None,
                "subtitle": None,
                "topicIds": rng.sample(ids, 2),
            }
            for i in ids
        },
        "performances": [
            {
                "eventId": i,
                "id": rng.randrange(10**9),
                "logo": None,
                "name": None,
                "prices": [
                    {
                        "amount": 1000 * rng.randrange(10, 200),
                        "audienceSubCategoryId": rng.choice(ids),
                        "seatCategoryId": rng.choice(ids),
                    }
                    for _ in range(4)
                ],
                "seatCategories": [
                    {
                        "areas": [{"areaId": rng.choice(ids), "blockIds": []} for _ in range(6)],
                        "seatCategoryId": rng.choice(ids),
                    }
                    for _ in range(3)
                ],
                "start": 1372701600000 + i,
                "venueCode": "PLEYEL_PLEYEL",
            }
            for i in ids[:200]
        ],
    }


def nested(depth: int) -> Any:
    obj: Any = []
    for i in range(depth):
        obj = {"child": obj} if i % 2 else [obj]
    return obj


def documents() -> list[Document]:
    rng = random.Random(7)
    twitter, citm = posts(rng), events(rng)
    plain: dict[str, Any] = {
        "27 B message": {"message": "Hello, World!"},
        "176 B object": object_176(),
        "API body: login": login(),
        "API body: an error": problem(),
        "API body: an order": order(),
        "4 KB of rows": rows(),
        "1.2 MB of records": records(rng),
        "GeoJSON-like": borders(rng),
        "citm-like": citm,
        "10,000 floats": [rng.uniform(-1000, 1000) for _ in range(10_000)],
        "10,000 short floats": [round(rng.uniform(-1000, 1000), 2) for _ in range(10_000)],
        "10,000 ints": [rng.randrange(-(10**9), 10**9) for _ in range(10_000)],
        "10,000 small ints": [rng.randrange(1000) for _ in range(10_000)],
        "10,000 64-bit ints": [rng.getrandbits(63) for _ in range(10_000)],
        "10,000 bools and nulls": [rng.choice((True, False, None)) for _ in range(10_000)],
        "ASCII text": "The quick brown fox jumps over the lazy dog. " * 10_000,
        "text with escapes": 'She said: "no",\n\tand left.\\ ' * 2000,
        "60 deep lists": eval("[" * 60 + "]" * 60),
        "200 deep, mixed": nested(200),
    }
    wide = {
        "Twitter-like": twitter,
        "non-ASCII text": "Грамматика и 漢字、かな交じり文。" * 4000,
        "Latin-1 text": "Où naît l'été, là où dîner près du hêtre coûte très cher. " * 2000,
    }
    made = [Document(title, compact(obj)) for title, obj in plain.items()]
    made += [Document(title, compact(obj), wide=True) for title, obj in wide.items()]
    ascii_only = json.dumps(twitter, separators=(",", ":")).encode()
    made.append(Document("Twitter-like in \\u escapes", ascii_only, decode_only=True))
    indented = json.dumps(citm, indent=4).encode()
    made.append(Document("citm-like, indented", indented, decode_only=True))
    return made
