/** Variables of the sinks: SINKS, and those of file and http. Those of s3 and postgres are in their directories. */
import {
  DAY_MS,
  GIB,
  integer,
  invalid,
  isHttpUrl,
  KIB,
  list,
  MIB,
  SECOND_MS,
  text,
  type ValuesOf,
} from '../variable.ts'
import { checkPostgres, POSTGRES_VARIABLES } from './postgres/variables.ts'
import { checkS3, S3_VARIABLES } from './s3/variables.ts'

export type SinkName = (typeof SINK_NAMES)[number]
export const SINK_NAMES = ['file', 'stdout', 'http', 's3', 'postgres'] as const

export const SINK_VARIABLES = {
  SINKS: list(
    SINK_NAMES,
    ['file'],
    'Destinations of the events: `file`, `stdout`, `http`, `s3`, `postgres`; each has its own offset.',
  ),
  FILE_SINK_DIR: text(
    './data/delivered',
    'Directory of the file sink; every file except `current.ndjson` is complete.',
  ),
  FILE_SINK_ROLL_BYTES: integer(
    KIB,
    64 * GIB,
    64 * MIB,
    'Size at which the file sink closes a file and begins the next one.',
  ),
  FILE_SINK_ROLL_MS: integer(SECOND_MS, 30 * DAY_MS, 60 * 60 * SECOND_MS, 'Age at which the file sink closes a file.'),
  HTTP_SINK_URL: text('', 'URL to which the http sink posts each event; required when `SINKS` has `http`.'),
  HTTP_SINK_SECRET: text(
    '',
    'Standard Webhooks secret (`whsec_…`, base64) that signs each request; empty: requests are not signed.',
  ),
  HTTP_SINK_TIMEOUT_MS: integer(10, 10 * 60 * SECOND_MS, 10 * SECOND_MS, 'Timeout of one request of the http sink.'),
  HTTP_SINK_CONCURRENCY: integer(
    1,
    1024,
    16,
    'Concurrent requests of the http sink; events with the same key stay in order.',
  ),
  ...S3_VARIABLES,
  ...POSTGRES_VARIABLES,
}

export function checkSinks(config: ValuesOf<typeof SINK_VARIABLES>): void {
  if (config.SINKS.includes('s3')) checkS3(config)
  if (config.SINKS.includes('postgres')) checkPostgres(config)
  checkHttp(config, config.SINKS.includes('http'))
}

function checkHttp(config: ValuesOf<typeof SINK_VARIABLES>, isUsed: boolean): void {
  if (isUsed && !URL.canParse(config.HTTP_SINK_URL)) {
    throw invalid('HTTP_SINK_URL', 'the http sink needs it: the URL that takes the events, https://example.com/hook')
  }
  if (config.HTTP_SINK_URL !== '' && !isHttpUrl(config.HTTP_SINK_URL)) {
    throw invalid('HTTP_SINK_URL', 'it must begin with http:// or https://')
  }
  const { username, password } = URL.parse(config.HTTP_SINK_URL) ?? {}
  if (username || password) {
    throw invalid(
      'HTTP_SINK_URL',
      'it holds a user or a password, which no request can carry: sign with HTTP_SINK_SECRET',
    )
  }
  const secret = config.HTTP_SINK_SECRET
  if (secret !== '' && !/^(whsec_)?(?!$)([A-Za-z\d+/]{4})*([A-Za-z\d+/]{2}==|[A-Za-z\d+/]{3}=)?$/.test(secret)) {
    const wanted = 'base64 with its padding, of one byte or more, with or without "whsec_" before it'
    throw invalid('HTTP_SINK_SECRET', `the given value is not ${wanted}`)
  }
}
