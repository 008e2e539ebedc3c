// Google's own client, driven line by line (lines.js):
//
//   {"how": {"url", "service_account" | "token" | neither, "retry"}, "bucket", "file", "generation", "method", "args"}
//
// `method` is one in `own`, else one of the client's own, of the bucket or the file, whichever is named.
"use strict";
const crypto = require("crypto");
const stream = require("stream");
const { pipeline } = require("stream/promises");
const { JWT, OAuth2Client } = require("google-auth-library");
const { Storage } = require("@google-cloud/storage");
const lines = require("./lines.js");

// where this version of the client sends assertions, whatever the account's file says
const TOKEN_URL = "https://www.googleapis.com/oauth2/v4/token";
const SCOPES = ["https://www.googleapis.com/auth/devstorage.full_control"];

const kept = new Map(); // clients with their tokens, by what they were made of

function authClient(how) {
  if (how.token) {
    const client = new OAuth2Client();
    client.setCredentials({ access_token: how.token, expiry_date: Date.now() + 3600e3 });
    return client;
  }
  const account = how.service_account;
  const client = new JWT({
    email: account.client_email,
    key: account.private_key,
    keyId: account.private_key_id,
    scopes: SCOPES,
  });
  const request = client.transporter.request.bind(client.transporter);
  client.transporter.request = (options) =>
    request({ ...options, url: options.url === TOKEN_URL ? account.token_uri : options.url });
  return client;
}

function storage(how) {
  const name = JSON.stringify(how);
  if (!kept.has(name)) {
    const known = how.token || how.service_account;
    kept.set(
      name,
      new Storage({
        apiEndpoint: how.url,
        projectId: "project",
        ...(known ? { useAuthWithCustomEndpoint: true, authClient: authClient(how) } : {}),
        retryOptions: how.retry
          ? { autoRetry: true, maxRetries: 5, maxRetryDelay: 1, retryDelayMultiplier: 1, idempotencyStrategy: 0 }
          : { autoRetry: false, maxRetries: 0 },
      }),
    );
  }
  return kept.get(name);
}

function target(request) {
  const bucket = storage(request.how).bucket(request.bucket);
  if (request.file === undefined) return bucket;
  return bucket.file(request.file, request.generation ? { generation: request.generation } : {});
}

function* pieces(bytes, size) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const own = {
  async save(file, bytes, options) {
    await file.save(bytes, options);
    return file.metadata;
  },
  // a resumable upload as a stream; its session is begun apart, as only that call signs for an endpoint that isn't Google's
  async write(file, bytes, options) {
    const uri = options.uri || (await file.createResumableUpload(options))[0];
    const target = file.createWriteStream({ resumable: true, ...options, uri });
    await pipeline(stream.Readable.from(pieces(bytes, 65536)), target);
    return file.metadata;
  },
  // the beginning of an upload that another client shall go on with
  async begin(file, bytes, options) {
    const [uri] = await file.createResumableUpload(options);
    const target = file.createWriteStream({ uri, resumable: true, isPartialUpload: true, chunkSize: bytes.length, validation: false });
    await pipeline(stream.Readable.from([bytes]), target);
    return uri;
  },
  async read(file, options) {
    const [body] = await file.download(options);
    return body;
  },
  async digest(file, options) {
    const sha256 = crypto.createHash("sha256");
    let size = 0;
    for await (const piece of file.createReadStream(options)) {
      sha256.update(piece);
      size += piece.length;
    }
    return { sha256: sha256.digest("hex"), size };
  },
  async metadata(thing) {
    return (await thing.getMetadata())[0];
  },
  async list(bucket, options) {
    return (await bucket.getFiles(options))[0].map((file) => file.metadata);
  },
  async remove(file, options) {
    await file.delete(options);
  },
};

async function run(request) {
  const thing = target(request);
  const call = own[request.method] ? own[request.method].bind(null, thing) : thing[request.method].bind(thing);
  return await call(...(request.args || []));
}

lines.serve(run, (e) => ({
  status: Number(e.code) || Number(e.status) || (e.response && Number(e.response.status)),
  code: e.errors && e.errors[0] && e.errors[0].reason,
}));
