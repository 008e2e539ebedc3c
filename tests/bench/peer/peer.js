// The peer: BullMQ, each job with two durable updates through pg, as a worker that records its state would make them.
//
//   node peer.js load N            puts N jobs into the queue
//   node peer.js work CONCURRENCY  a worker: prints "ready" when it is connected, begins on SIGUSR2
//   node peer.js idle              a worker without any job
//   node peer.js listen            a worker that tells when it claims
//   node peer.js latency N         pushes N jobs to it, one at a time; prints the milliseconds as a JSON array
//
// Environment: PEER_REDIS (socket), PEER_PG (socket directory), PEER_PG_PORT, PEER_PG_DATABASE.
'use strict';
const { Queue, Worker } = require('bullmq');
const { Pool } = require('pg');
const Redis = require('ioredis');

const connection = () => new Redis({ path: process.env.PEER_REDIS, maxRetriesPerRequest: null });
const NAME = 'peer';
const TAKE = {
  name: 'take',
  text: `UPDATE peer_jobs SET status = 'uploading', attempts = attempts + 1, upload_started_at = now() WHERE id = $1`,
};
const END = {
  name: 'end',
  text: `UPDATE peer_jobs SET status = 'completed', file_size = $2, checksum = $3, upload_completed_at = now()
         WHERE id = $1`,
};
const CHECKSUM = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

async function load(n) {
  const queue = new Queue(NAME, { connection: connection() });
  for (let from = 1; from <= n; from += 1000) {
    const jobs = [];
    for (let id = from; id < from + 1000 && id <= n; id++)
      jobs.push({
        name: 'upload',
        data: { id, backup_id: Math.ceil(id / 3), storage_type: 'local', storage_name: 'disk' },
        opts: { removeOnComplete: true, removeOnFail: true },
      });
    await queue.addBulk(jobs);
  }
  await queue.close();
}

async function work(concurrency, begin) {
  const pool = new Pool({
    host: process.env.PEER_PG,
    port: Number(process.env.PEER_PG_PORT),
    database: process.env.PEER_PG_DATABASE,
    user: 'postgres',
    max: concurrency,
    idleTimeoutMillis: 0,
  });
  const clients = await Promise.all(Array.from({ length: concurrency }, () => pool.connect()));
  clients.forEach((c) => c.release()); // all connections are open before the first job
  const worker = new Worker(
    NAME,
    async (job) => {
      await pool.query({ ...TAKE, values: [job.data.id] });
      await pool.query({ ...END, values: [job.data.id, 4096, CHECKSUM] });
    },
    { connection: connection(), concurrency, autorun: false },
  );
  worker.on('failed', (job, error) => { console.error(error); process.exit(1); });
  await worker.waitUntilReady();
  process.on('SIGTERM', async () => { await worker.close(); process.exit(0); });
  process.on('SIGUSR2', () => worker.run());
  console.log('ready');
  if (begin) worker.run();
}

// Push to claim: the worker's processor writes its clock; the pusher compares (one machine, one clock).
async function listen() {
  const redis = connection();
  const worker = new Worker(
    'latency',
    async () => { await redis.rpush('peer:claimed', String(process.hrtime.bigint())); },
    { connection: connection() },
  );
  await worker.waitUntilReady();
  console.log('ready');
  process.on('SIGTERM', async () => { await worker.close(); process.exit(0); });
}

async function latency(n) {
  const queue = new Queue('latency', { connection: connection() });
  const redis = connection();
  await queue.waitUntilReady();
  const all = [];
  for (let i = 0; i < n; i++) {
    const pushed = process.hrtime.bigint();
    await queue.add('x', { id: i }, { removeOnComplete: true });
    const [, claimed] = await redis.blpop('peer:claimed', 10);
    all.push(Number(BigInt(claimed) - pushed) / 1e6);
    await new Promise((r) => setTimeout(r, 20));
  }
  console.log(JSON.stringify(all));
  await queue.close();
  redis.disconnect();
}

const [verb, argument] = process.argv.slice(2);
const done = (p) => p.then(() => process.exit(0));
if (verb === 'load') done(load(Number(argument)));
else if (verb === 'work') work(Number(argument), false);
else if (verb === 'idle') work(16, true);
else if (verb === 'listen') listen();
else if (verb === 'latency') done(latency(Number(argument)));
else { console.error('see the head of peer.js'); process.exit(2); }
