// Azure's own client, driven line by line (lines.js):
//
//   {"how": {"url", "account", "key" | "sas" | "token" | "connection_string", "ca"}, "container", "blob",
//    "method", "args"}
//
// `method` is one of the client's own, of the service, the container or the block blob, whichever is named.
// What isn't a plain call is in `own`. {"identity": {"kind", "options", "environment"}} asks for a token instead.
"use strict";
const crypto = require("crypto");
const identity = require("@azure/identity");
const storage = require("@azure/storage-blob");
const lines = require("./lines.js");

function options(how) {
  return {
    retryOptions: { maxTries: 1 },
    ...(how.ca ? { tlsOptions: { ca: how.ca } } : {}),
  };
}

function serviceClient(how) {
  if (how.connection_string) return storage.BlobServiceClient.fromConnectionString(how.connection_string, options(how));
  if (how.key) {
    const credential = new storage.StorageSharedKeyCredential(how.account, how.key);
    return new storage.BlobServiceClient(how.url, credential, options(how));
  }
  if (how.token) {
    const credential = { getToken: async () => ({ token: how.token, expiresOnTimestamp: Date.now() + 3600e3 }) };
    return new storage.BlobServiceClient(how.url, credential, options(how));
  }
  const url = how.sas ? `${how.url}?${how.sas}` : how.url;
  return new storage.BlobServiceClient(url, new storage.AnonymousCredential(), options(how));
}

function target(request) {
  const service = serviceClient(request.how);
  if (!request.container) return service;
  const container = service.getContainerClient(request.container);
  return request.blob === undefined ? container : container.getBlockBlobClient(request.blob);
}

// permissions and protocols of signatures are classes of their own
function signatureOptions(client, wanted) {
  const given = { ...wanted };
  const kind =
    client instanceof storage.BlobServiceClient
      ? storage.AccountSASPermissions
      : client instanceof storage.ContainerClient
        ? storage.ContainerSASPermissions
        : storage.BlobSASPermissions;
  given.permissions = kind.parse(wanted.permissions);
  return given;
}

const own = {
  async listAll(client, wanted) {
    const items = [];
    const pages = [];
    const { pageSize, ...rest } = wanted || {};
    for await (const page of client.listBlobsFlat(rest).byPage({ maxPageSize: pageSize })) {
      pages.push(page.segment.blobItems.length);
      items.push(...page.segment.blobItems);
    }
    return { items, pages };
  },
  async digest(client, offset, count, wanted) {
    const answer = await client.download(offset, count, wanted);
    const sha256 = crypto.createHash("sha256");
    let size = 0;
    for await (const piece of answer.readableStreamBody) {
      sha256.update(piece);
      size += piece.length;
    }
    return { ...answer.originalResponse, sha256: sha256.digest("hex"), size };
  },
  async read(client, offset, count, wanted) {
    const answer = await client.download(offset, count, wanted);
    const pieces = [];
    for await (const piece of answer.readableStreamBody) pieces.push(piece);
    return { ...answer.originalResponse, body: Buffer.concat(pieces) };
  },
  async sas(client, wanted) {
    const given = signatureOptions(client, wanted);
    if (client instanceof storage.BlobServiceClient) {
      const url = client.generateAccountSasUrl(given.expiresOn, given.permissions, given.resourceTypes, given);
      return url.split("?")[1];
    }
    return (await client.generateSasUrl(given)).split("?")[1];
  },
};

// a token by Azure's identity library; what it reads from the environment is the request's
async function token({ kind, args, options, environment, scope }) {
  for (const name of Object.keys(process.env)) {
    if (/^(AZURE|IDENTITY|MSI)_/.test(name)) delete process.env[name];
  }
  Object.assign(process.env, environment);
  const made = new identity[kind](...(args || []), { retryOptions: { maxRetries: 0 }, ...options });
  return await made.getToken(scope);
}

async function run(request) {
  if (request.identity) return await token(request.identity);
  const client = target(request);
  const call = own[request.method] ? own[request.method].bind(null, client) : client[request.method].bind(client);
  return await call(...(request.args || []));
}

lines.serve(run, (e) => ({ status: e.statusCode, code: e.code }));
