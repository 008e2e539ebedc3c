"""XML as S3 writes it: nested lists of (name, text or list)."""

import time
from urllib.parse import quote
from xml.sax.saxutils import escape

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"


def iso(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


def element(name, content):
    if isinstance(content, list):
        inner = "".join(element(*child) for child in content)
    else:
        inner = escape(str(content), {'"': "&quot;", "\r": "&#13;", "\n": "&#10;"})
    return f"<{name}>{inner}</{name}>"


def document(root, fields, namespace=NAMESPACE):
    inner = "".join(element(*field) for field in fields)
    attribute = f' xmlns="{namespace}"' if namespace else ""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}{attribute}>{inner}</{root}>'
    return text.encode("utf-8", "surrogateescape")


def error(code, message, fields=()):
    return document("Error", [("Code", code), ("Message", message), *fields], None)


def url_encoded(text):
    """encoding-type=url"""
    return quote(text.encode("utf-8", "surrogateescape"), safe="-_.~/*")
