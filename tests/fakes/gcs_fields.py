"""`fields=` of Google's JSON APIs: a client that asks for some fields gets those and no others."""

from fakes.gcs_checks import invalid


def parse_fields(text):
    """"a,b/c,d(e,f)" as {"a": None, "b": {"c": None}, "d": {"e": None, "f": None}}; None is all of it."""
    tree, rest = _list(text)
    if rest:
        raise _bad(text)
    return tree


def _bad(text):
    return invalid(f"Invalid field selection {text}", "invalidParameter", locationType="parameter", location="fields")


def _list(text):
    tree = {}
    while True:
        size = next((i for i, letter in enumerate(text) if letter in ",/()"), len(text))
        name, text = text[:size].strip(), text[size:]
        if not name:
            raise _bad(text)
        inner = None
        if text.startswith("("):
            inner, text = _list(text[1:])
            if not text.startswith(")"):
                raise _bad(text)
            text = text[1:]
        elif text.startswith("/"):
            inner, text = _one(text[1:])
        known = tree.get(name, {})
        tree[name] = None if inner is None or known is None else {**known, **inner}
        if not text.startswith(","):
            return tree, text
        text = text[1:]


def _one(text):
    """What follows a slash: one path, not a list."""
    size = next((i for i, letter in enumerate(text) if letter in ",()"), len(text))
    inner, rest = _list(text[:size])
    if text[size : size + 1] == "(":
        deeper, rest = _list(text[size + 1 :])
        if not rest.startswith(")"):
            raise _bad(text)
        last = inner
        while next(iter(last.values())) is not None:
            last = next(iter(last.values()))
        last[next(iter(last))] = deeper
        return inner, rest[1:]
    return inner, text[size:]


def select(value, tree):
    if tree is None or "*" in tree:
        return value
    if isinstance(value, list):
        return [select(item, tree) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: select(item, tree[name]) for name, item in value.items() if name in tree}
