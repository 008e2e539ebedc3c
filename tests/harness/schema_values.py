"""Values made from JSON schemas (references followed: Contract.whole): one that fits, and many that don't."""

DEEP = b'{"a":' * 40 + b"1" + b"}" * 40
LONG = "x" * 200_000


def _types(schema):
    types = schema.get("type", [])
    return [types] if isinstance(types, str) else types


def _choices(schema):
    """What it may be: itself, or one of several."""
    return schema.get("oneOf") or schema.get("anyOf") or [schema]


def fitting(schema):
    """The smallest that fits; patterns only by their examples."""
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    if "oneOf" in schema or "anyOf" in schema:
        return fitting(_choices(schema)[0])
    if "allOf" in schema:
        made = [fitting(s) for s in schema["allOf"]]
        return {k: v for m in made for k, v in m.items()} if all(isinstance(m, dict) for m in made) else made[0]
    kind = (_types(schema) or ["null"])[0]
    if kind == "object":
        return {name: fitting(schema["properties"][name]) for name in schema.get("required", [])}
    if kind == "array":
        return [fitting(schema["items"])] * schema.get("minItems", 0)
    if kind == "string":
        return "a" * max(1, schema.get("minLength", 1))
    if kind in ("integer", "number"):
        return max(schema.get("minimum", 1), min(1, schema.get("maximum", 1)))
    return {"boolean": True, "null": None}[kind]


def fitting_body(content):
    """Of a media type: its example, or what fits."""
    if "example" in content:
        return content["example"]
    if content.get("examples"):
        return next(iter(content["examples"].values()))["value"]
    return fitting(content["schema"])


def odd(schema):
    """What may not fit: of every wrong type, beyond every bound, and texts that programs stumble over."""
    yield from (None, True, 0, -1, 1.5, 1e300, 2**31, 2**63, -(2**63) - 1, 10**400, "", "1", [], {}, [[]], [None], {"a": {}})
    yield from ("\x00", "a\x00b", "\x1b[2J", "\u202e", "\ud800", "\U0001f4be", "a" * 70_000, LONG, "%s%n", "';--", "../../etc/passwd", "{}")
    for choice in _choices(schema):
        if "minimum" in choice:
            yield choice["minimum"] - 1
        if "maximum" in choice:
            yield choice["maximum"] + 1
        if choice.get("minLength"):
            yield "a" * (choice["minLength"] - 1)
        if "maxLength" in choice:
            yield "a" * (choice["maxLength"] + 1)
            yield "\U0001f4be" * choice["maxLength"]
        if "enum" in choice:
            yield str(choice["enum"][0]).upper() + " "
        if "items" in choice:
            yield ["a"] * 5000
            yield from ([value] for value in (None, 1, "", {}, "\x00", LONG))
        if "object" in _types(choice):
            yield {"a" * 300: 1}
            yield {f"m{i}": i for i in range(5000)}
            yield {"": None}


def odd_bodies(schema, right):
    """Bodies for a schema of an object: each member odd, each required one missing, one too many; right: a body that fits."""
    properties = {k: v for s in _choices(schema) for k, v in s.get("properties", {}).items()}
    yield from ({k: v for k, v in right.items() if k != name} for name in right)
    yield {**right, "unknown_member": 1}
    for name, member in properties.items():
        yield from ({**right, name: value} for value in odd(member))


# What is no object, or no JSON at all: bytes as they are sent.
RAW_BODIES = (
    b"", b" ", b"{", b"}", b"[]", b"null", b"1", b'"a"', b"{}garbage", b"{}{}", b"\xef\xbb\xbf{}", b'{"a":1,"a":2}', b"{'a':1}", b'{"a":NaN}',
    b'{"a":1e999}', b'{"\xff":1}', b'{"a":"\xc3"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\\ud800"}', b'{"a":"\\u0000"}', b"\x00", b"{\x00}", DEEP,
    b"[" * 100_000, b'{"a":' * 100_000, b'{"a":"' + b"x" * 1_000_000 + b'"}', b" " * 1_000_000 + b"{}", b"\xff\xfe{\x00}\x00",
)  # fmt: skip
