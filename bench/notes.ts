/**
 * Written by hand, for targets that are missed: where the time goes by the profile, what was tried, why it stays. The page has each
 * below its table. By the key of the target.
 */
export const NOTES: Readonly<Record<string, string>> = {
  'singles-node-http': `A request takes 24 µs of the main thread and 18 of the bare server's (Node's own profiler, 256 connections). 2.7 of the 6 are the same system call, which sends an answer: 7.6 and 4.9 µs. The collector is 1.5 and 0.7 µs, reading and checking the event 1, the log 1,
Fastify 2 to 3. What was won: 41 µs of CPU time a request became 25, most of it by keeping V8 from making objects in the old generation ahead of time. Answering a group while the next one is synced won 3 to 8 % more and held two groups in memory; that and what else did not help is in
[decision 20](decisions/0020-hot-path.md). With two workers the load generator and three threads share two cores, and nothing is won ([decision 21](decisions/0021-workers.md)).`,
  'latency-rust-group': `Half of the writes take half a millisecond on both sides. An event is a group of its own here: a write and a sync, each a trip to a thread and back, of which waking the thread is 20 µs of the main thread; Rust makes one trip. The slowest of a hundred wait behind a collection of the young
generation (1 to 3 ms for 12 MB) or behind the journal of the file system. Zeros behind small groups, which spare most syncs the journal, won a quarter of p99. \`O_DSYNC\` would win another quarter with one trip less, and is refused for what \`fdatasync\` promises ([decision 20](decisions/0020-hot-path.md)).`,
  'ndjson-small-rust-group': `220 ns an event, of which 155 are JSON.parse: V8 makes an object of each line, serde only looks whether the line is right and has the fields. What was won: one parse for the whole body, the received bytes kept, and commas alone between most lines, which took a third off ([decision 2](decisions/0002-received-bytes.md)).
The machine that the target was set on gave the Rust peer 1.8M events a second; written as it is here it does three times that.`,
  'ndjson-small-rate': `Two thirds is JSON.parse, and the rest one pass over the fields of each event. Checking without parsing would need a validator in native code.`,
  'ndjson-cloudevents-rust-group': `1,100 ns an event, of which 900 are JSON.parse (300 MB/s). Checking the attributes was 600 ns and is 190 since times are checked without Date ([decision 20](decisions/0020-hot-path.md)). The bare server, which checks two fields, is hardly faster: what is left is the parser of V8.`,
  cpu: `With 64 connections at 1,000 events a second nearly each event is a group of its own. By the profile of the main thread at that rate, an event costs it 33 µs to send the answer, 23 and 19 to hand the write and the sync to a thread (waking one is a system call each), and about 100 of JavaScript; the threads that write and sync take another 90, the kernel's journal not counted.
Zeros behind small groups took a tenth off. GROUP_LINGER_MS=10 takes ten events together and is in the table; the Rust peer pays for a sync an event as well, and misses the target too.`,
  'growth-file-sink': `The heap is still finding its size; the peak is in the row above. Over a quarter of an hour of steady load \`npm run soak\` has 4 MB an hour ([plot](../bench/results/soak.svg)).`,
  'growth-stalled-sink': `As above. 300 s against a full log with a stalled sink (\`npm run test:long\`) stay under 200 MB.`,
  start: `It was 640 ms: the OpenAPI document and its library are loaded when it is asked for, Fastify's compilers of schemas not at all, and Node may use the compiled code of its own modules, as no flag of V8 is set ([decision 20](decisions/0020-hot-path.md)). Of what is left about 60 ms are Fastify, 70 removing types.`,
  'backlog-start': `Each of the 160 segments of 10 GB is opened twice for its header, 32 at a time; the last segment is checked as a whole, whatever the backlog.`,
}
