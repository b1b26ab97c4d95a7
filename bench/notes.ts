/**
 * Written by hand, for targets that are missed: where the time goes by the profile, what was tried, why it stays. The page has each
 * below its table. By the key of the target.
 */
export const NOTES: Readonly<Record<string, string>> = {
  'singles-node-http': `By the profile of the main thread, half of its time is the system call that sends an answer and a quarter Node's own HTTP, which the bare server has as well; reading and checking the event is 8 %,
Fastify 3 %, the log 4 %. What was won: 41 µs of CPU time a request became 25, 30,000 requests a second 40,000, most of it by keeping V8 from making objects in the old generation ahead of time; what did not help is in
[decision 20](decisions/0020-hot-path.md). With two workers the load generator and three threads share two cores, and nothing is won ([decision 21](decisions/0021-workers.md)).`,
  'latency-rust-group': `Half of the writes take half a millisecond on both sides. The slowest of a hundred wait behind a collection of the young generation (1 to 3 ms for 12 MB) or behind a sync of the file system's journal; rounds differ by more than the distance to the target.`,
  'ndjson-small-rust-group': `340 ns an event, of which 215 are JSON.parse: V8 makes an object of each line, serde only looks whether the line is right and has the fields. What was won before is in [decision 2](decisions/0002-received-bytes.md): one parse for the whole body, the received
bytes kept. The machine that the target was set on gave the Rust peer 1.8M events a second; written as it is here it does three times that.`,
  'ndjson-small-rate':
    'As above: two thirds is JSON.parse, and the rest one pass over the fields of each event. Checking without parsing would need a validator in native code.',
  'ndjson-cloudevents-rust-group': `1,280 ns an event, of which 920 are JSON.parse (300 MB/s). Checking the attributes was 600 ns and is 190 since times are checked without Date ([decision 20](decisions/0020-hot-path.md)).`,
  cpu: `With 64 connections at 1,000 events a second nearly each event is a group of its own: a write, a sync and three wake-ups of threads for each. By samples of the whole process, half of the time is the kernel's (30 % in the threads that
write and sync), a third Node and V8, 10 % JavaScript. GROUP_LINGER_MS=10 takes ten events together and is in the table; the Rust peer pays for a sync an event as well.`,
  'growth-file-sink': `One minute after a start the heap still finds its size; the peak is 139 MiB. Over a quarter of an hour of steady load \`npm run soak\` has 4 MB an hour ([plot](../bench/results/soak.svg)).`,
  'growth-stalled-sink': `As above, and a log that grows by a segment every few seconds has an index of each in memory until it is sealed. 300 s against a full log with a stalled sink (\`npm run test:long\`) stay under 200 MB.`,
  start: `Six milliseconds too many, within the spread. It was 640 ms: schemas are compiled for nobody now and the OpenAPI document is made when it is asked for. The figure was measured with Node's compile cache, which is not used: it loops for ever where its directory cannot be made (seen under /proc). Of what is left about 80 ms are loading typebox
(373 modules), 60 Fastify, 70 removing types.`,
  'backlog-start': `Each of the 160 segments of 10 GB is opened twice for its header, which was 80 ms one after the other. They are read 32 at a time since this run; the last segment is checked as a whole, whatever the backlog.`,
}
