/**
 * Written by hand, for targets that are missed: where the time goes by the profile, what was tried, and why it stays so.
 * The page has each note below its table. The key is that of the target.
 */
export const NOTES: Readonly<Record<string, string>> = {
  'singles-node-http': `A request takes 24 µs of the main thread, and 18 µs in the bare server (Node's own profiler, 256
connections). 2.7 of the 6 µs are the same system call, which sends an answer: it takes 7.6 and 4.9 µs. The collector
takes 1.5 and 0.7 µs, reading and checking the event 1, the log 1, Fastify 2 to 3. A request took 41 µs of CPU time and
takes 25 now. Most of that comes from keeping V8 from making objects in the old generation ahead of time. Answering a
group while the next one is synced gave 3 to 8 % more, and held two groups in memory.
[Decision 20](decisions/0020-hot-path.md) lists what else did not help. With two workers the load generator and three
threads share two cores, so there is little to gain ([decision 21](decisions/0021-workers.md)).`,
  'latency-rust-group': `Half of the writes take half a millisecond on both sides. An event is a separate group here: a
synchronous write, and a trip to a thread and back. Waking the thread takes 20 µs of the main thread. The slowest of a
hundred wait behind a collection of the young generation (1 to 2 ms), or behind the journal of the file system. Zeros
behind small groups let most syncs skip the journal: that gave a quarter of p99. One trip instead of two, with
\`O_DSYNC\`, gave a half ([decision 29](decisions/0029-bytes.md)).`,
  'ndjson-small-rust-group': `A request of 100 takes 50 µs of CPU. Fastify and Node's HTTP in JavaScript take 24 %,
system calls for the sockets 13 %, the scanner 9 %, and the checks 9 %. The write of the log takes 9 % and its own code
4 %, waking threads 4 %, and the collector 5 % ([decision 29](decisions/0029-bytes.md)). The Rust peer uses both cores
for that; one thread answers here.`,
  'ndjson-small-file-sink': `A request of 100 takes 96 µs of CPU instead of 50. A short event goes out as six times its
bytes, since its missing attributes are filled in. That takes 10 % of the time, other delivery 7 %, and the kernel's
copy into the file 5 %. Checksums of the bytes read take 2 %, the sync 1 %. The collector frees the bytes that were read
and filled in. Lines are found in blocks, and no object is made for a single event
([decision 29](decisions/0029-bytes.md)).`,
  'ndjson-small-file-sink-thread': `Both cores are busy: the load generator, the thread that takes events in, the thread
of delivery, and the threads that read and write files ([decision 45](decisions/0045-delivery-thread.md)).`,
  'ndjson-cloudevents-file-sink-thread': `As for small events, and the kernel copies each byte again
([decision 45](decisions/0045-delivery-thread.md)).`,
  'ndjson-cloudevents-rust-group': `A request of 100 (27 kB) takes 110 µs of CPU. The kernel's copy of the log into its
page cache takes 30 %, the scanner 13 %, the checks 12 %, and Fastify and Node's HTTP 13 %. The log takes 4 %, checksums
4 %, sockets 6 %, and the collector 2 % ([decision 29](decisions/0029-bytes.md)).`,
  'ndjson-cloudevents-file-sink': `A request of 100 (27 kB) takes 170 µs of CPU instead of 110. Delivery adds the
kernel's copy into the page cache of the file (25 µs), as large as that of the log. Reading the log back, with
checksums, adds 12 µs, and copies of blocks 10; the rest is waking threads and the sync. Without any code of ours the
copy alone would leave 0.81 ([decision 29](decisions/0029-bytes.md)).`,
  cpu: `An event is a separate group here. Its request, its write on a thread, and the end of the write are three
wake-ups. By the kernel's accounts one event takes 184 µs of the main thread, 84 of the threads that write, and 22 of
V8's own. Under load the same event takes 25 µs. The profile is flat: 36 µs to send the answer, 15 to hand the write on,
no function of ours above 2. Waiting for more events helps only where latency may grow (\`GROUP_LINGER_MS=10\`, in the
table). The Rust peer pays for the same wake-ups, and misses the target too ([decision 30](decisions/0030-quiet.md)).`,
  'cpu-rust-group': `As above. Without delivery it is 260 µs, as with bare \`node:http\`. Writing on the main thread
would save 55 µs, but would stop everything while a disk hangs ([decision 30](decisions/0030-quiet.md)).`,
  'growth-file-sink': `The heap is still finding its size; the peak is in the row above. Over a quarter of an hour of
steady load \`npm run soak\` has 4 MB an hour ([plot](../bench/results/soak.svg)).`,
  'growth-stalled-sink': `As above. 300 s against a full log with a stalled sink (\`npm run test:long\`) stay under 200
MB.`,
  start: `It was 640 ms. Now the OpenAPI document and its library are loaded on the first request for it, and Fastify's
compilers of schemas not at all. No flag of V8 is set, so Node may use the compiled code of its own modules
([decision 20](decisions/0020-hot-path.md)). Types are removed before the start
([decision 30](decisions/0030-quiet.md)).`,
  'backlog-start': `Each of the 160 segments of 10 GB is opened twice for its header, 32 at a time. The last segment is
checked as a whole, for any backlog.`,
}
