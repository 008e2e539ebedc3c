"""How an answer goes wrong: one function per action that spoils what would have been a correct answer."""

import time


class Answers:
    """The part of an exchange that a rule's action may take the sending over to: deliver_<action>()."""

    def deliver_drop_answer(self, response, head_only):
        self.connection.reset() if self.rule["reset"] else self.connection.cut()

    def deliver_close_after_answer(self, response, head_only):
        self.connection.send_response(response, head_only)
        self.connection.cut()

    def deliver_close_response(self, response, head_only):
        limit = self.rule["bytes"]
        head = response.head(self.close)
        if self.rule["of"] == "head":
            self.connection.send(head[:limit])
        else:
            self.connection.send(head)
            for piece in response.pieces():
                self.connection.send(piece[:limit])
                limit -= len(piece[:limit])
                if limit == 0:
                    break
        self.connection.reset() if self.rule["reset"] else self.connection.cut()

    def deliver_slow(self, response, head_only):
        step, pause = max(1, self.rule["bytes"]), self.rule["ms"] / 1000
        for piece in (response.head(self.close), *(() if head_only else response.pieces())):
            for at in range(0, len(piece), step):
                self.connection.send(piece[at : at + step])
                time.sleep(pause)

    def deliver_truncate(self, response, head_only):
        """Whole as HTTP, half as XML or JSON."""
        body = b"".join(response.pieces())
        keep = self.rule["bytes"] if self.rule["bytes"] is not None else len(body) // 2
        response.body = body[:keep]
        response.headers.pop("Content-Length", None)
        self.connection.send_response(response, head_only, self.close)

    def deliver_endless(self, response, head_only):
        piece = self.rule["piece"].encode()
        if self.rule["of"] == "headers":
            self.connection.send(response.head(length=False)[:-2])
            for number in range(1 << 40):
                self.connection.send(f"x-endless-{number}: {self.rule['piece']}\r\n".encode() * 16)
        self.connection.send(response.head(close=True, length=False))
        piece = piece * (1 + 16384 // len(piece))
        while True:
            self.connection.send(piece)

    def deliver_alter(self, response, head_only):
        """A correct answer with something changed: a status, headers (null takes one away), words of the body."""
        rule = self.rule
        response.status = rule["status"] or response.status
        for name, value in rule["headers"].items():
            for known in [n for n in response.headers if n.lower() == name.lower()]:
                del response.headers[known]
            if value is not None:
                response.headers[name] = value
        if rule["body"] is not None:
            response.body = rule["body"].encode()
        elif rule["replace"]:
            body = b"".join(response.pieces())
            for before, after in rule["replace"].items():
                body = body.replace(before.encode(), after.encode())
            response.body = body
        self.entry["status"] = response.status
        self.connection.send_response(response, head_only, self.close)
