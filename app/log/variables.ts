/** Variables of the channel, group commit and the log. */
import { choice, DAY_MS, GIB, integer, invalid, KIB, MIB, SECOND_MS, text, type ValuesOf } from '../variable.ts'
import { checkKafka, KAFKA_VARIABLES } from './kafka/variables.ts'

/** A dead letter is larger than its event: it adds the reason, and numbers are written out (`1e20` has 21 digits). */
export const MAX_LETTER_GROWTH = 5

export const LOG_VARIABLES = {
  LOG_ENGINE: choice(
    ['embedded', 'kafka'],
    'embedded',
    'Where events become durable. `embedded`: in segment files in `DATA_DIR`. `kafka`: in `KAFKA_TOPIC`, without a disk.',
  ),
  DATA_DIR: text('./data', 'Directory of the log, the dead letters and the counters; one process at a time.'),
  CHANNEL_CAPACITY_EVENTS: integer(
    1,
    10_000_000,
    65_536,
    'Most events that wait for the log; further requests get 503.',
  ),
  CHANNEL_CAPACITY_BYTES: integer(
    KIB,
    4 * GIB,
    32 * MIB,
    'Most bytes that wait for the log; further requests get 503.',
  ),
  GROUP_MAX_BYTES: integer(4 * KIB, 64 * MIB, MIB, 'Most bytes that one sync commits.'),
  GROUP_LINGER_MS: integer(
    0,
    SECOND_MS,
    0,
    'How long a group waits for more events before its sync: less CPU, but slower writes. 0: only for clients just answered, and half a sync at most.',
  ),
  LOG_SEGMENT_BYTES: integer(
    64 * KIB,
    2 * GIB,
    64 * MIB,
    'Size at which a segment file is sealed and the next one begins; at most a quarter of `LOG_MAX_BYTES`.',
  ),
  LOG_MAX_BYTES: integer(
    256 * KIB,
    1024 * GIB,
    8 * GIB,
    'Hard limit of all segment files together; when sinks are too far behind, requests get 503.',
  ),
  LOG_RETENTION_MS: integer(0, 365 * DAY_MS, DAY_MS / 24, 'How long delivered segments are kept while there is room.'),
  DEDUPLICATION_WINDOW_EVENTS: integer(
    0,
    10_000_000,
    0,
    'How many of the last events are remembered by `source` and `id` (24–32 bytes each): a repeat is acknowledged but not stored. 0: off.',
  ),
  DEAD_LETTER_MAX_BYTES: integer(
    256 * KIB,
    1024 * GIB,
    GIB,
    'Hard limit of the dead letters of one sink; when it is full, that sink waits.',
  ),
  ...KAFKA_VARIABLES,
}

export function checkLog(config: ValuesOf<typeof LOG_VARIABLES> & { readonly MAX_BODY_BYTES: number }): void {
  if (config.LOG_ENGINE === 'kafka') checkKafka(config)
  if (config.LOG_ENGINE === 'kafka' && config.DEDUPLICATION_WINDOW_EVENTS > 0) {
    throw invalid(
      'DEDUPLICATION_WINDOW_EVENTS',
      'around Kafka several processes write, and none knows what the others have stored: leave it at 0; the postgres and s3 sinks keep each event once',
    )
  }
  const letterBytes = MAX_LETTER_GROWTH * config.MAX_BODY_BYTES
  if (config.DEAD_LETTER_MAX_BYTES < letterBytes) {
    throw invalid(
      'DEAD_LETTER_MAX_BYTES',
      `${config.DEAD_LETTER_MAX_BYTES} may not hold one event of MAX_BODY_BYTES=${config.MAX_BODY_BYTES} with why it failed, and its sink would wait forever: at least ${letterBytes}`,
    )
  }
}
