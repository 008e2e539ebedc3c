// A client driven line by line: one JSON request on stdin, one JSON answer on stdout, one after the other. Bytes and dates
// are {"$bytes": base64} and {"$date": ISO 8601} both ways.
"use strict";
const http = require("http");
const readline = require("readline");

// A fake's reset ends connections, and a request may go into one whose end has not been noticed yet: none is kept, whatever
// agent the clients have.
http.Agent.prototype.keepSocketAlive = () => false;

function decoded(name, value) {
  if (value && typeof value === "object") {
    if ("$bytes" in value) return Buffer.from(value.$bytes, "base64");
    if ("$date" in value) return new Date(value.$date);
  }
  return value;
}

function encoded(name, value) {
  if (name === "_response" || name === "readableStreamBody") return undefined;
  const raw = this[name];
  if (raw instanceof Uint8Array) return { $bytes: Buffer.from(raw).toString("base64") };
  if (raw instanceof Date) return { $date: raw.toISOString() };
  return value;
}

// run(request): a promise of the result. describe(e): {status, code} of an error.
exports.serve = async (run, describe) => {
  for await (const line of readline.createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    let answer;
    try {
      answer = { result: await run(JSON.parse(line, decoded)) };
    } catch (e) {
      answer = { error: { ...describe(e), message: String(e.message || e), name: e.name } };
    }
    process.stdout.write(JSON.stringify(answer, encoded) + "\n");
  }
};
