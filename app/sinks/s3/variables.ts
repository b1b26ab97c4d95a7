/** Variables of the s3 sink. */
import { choice, GIB, integer, invalid, isHttpUrl, KIB, MIB, SECOND_MS, text, type ValuesOf } from '../../variable.ts'

export const S3_VARIABLES = {
  S3_SINK_BUCKET: text(
    '',
    'Bucket of the s3 sink; required when `SINKS` has `s3`. Credentials are found in the same way as by AWS tools.',
  ),
  S3_SINK_PREFIX: text('events/', 'Prefix of every key; ends with a slash, or is empty.'),
  S3_SINK_REGION: text(
    '',
    'Region of the bucket; empty: found in the same way as by AWS tools (`AWS_REGION`, a profile).',
  ),
  S3_SINK_ENDPOINT: text('', 'URL of a store that is compatible with S3; empty: AWS.'),
  S3_SINK_KMS_KEY_ID: text('', 'KMS key that encrypts objects; empty: the default encryption of the bucket.'),
  S3_SINK_COMPRESSION: choice(['gzip', 'zstd'], 'gzip', 'Compression of objects.'),
  S3_SINK_ROLL_BYTES: integer(
    64 * KIB,
    GIB,
    16 * MIB,
    'Compressed size of the collected events at which the s3 sink writes objects. Up to three times that is in memory.',
  ),
  S3_SINK_ROLL_EVENTS: integer(1, 100_000_000, 1_000_000, 'Number of collected events at which it writes objects.'),
  S3_SINK_ROLL_MS: integer(
    100,
    60 * 60 * SECOND_MS,
    30 * SECOND_MS,
    'Age of the collected events at which it writes objects; only then do events count as delivered.',
  ),
  S3_SINK_TIMEOUT_MS: integer(100, 10 * 60 * SECOND_MS, 30 * SECOND_MS, 'Timeout of one request of the s3 sink.'),
}

export function checkS3(config: ValuesOf<typeof S3_VARIABLES>): void {
  const { S3_SINK_BUCKET: bucket, S3_SINK_PREFIX: prefix, S3_SINK_ENDPOINT: endpoint } = config
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket)) {
    throw invalid('S3_SINK_BUCKET', `the s3 sink needs it: ${JSON.stringify(bucket)} is not the name of a bucket`)
  }
  // The rest of a key takes up to 500 bytes of S3's 1,024.
  if (prefix.length > 400 || !/^((?!\.{1,2}\/)[\w!.*'()=-]{1,255}\/)*$/.test(prefix)) {
    const parts = "its parts have up to 255 letters, digits and !.*'()=_-, all of it 400"
    throw invalid(
      'S3_SINK_PREFIX',
      `${JSON.stringify(prefix)} must end with a slash, like "events/", or be empty: ${parts}`,
    )
  }
  if (endpoint !== '' && !isHttpUrl(endpoint)) {
    throw invalid('S3_SINK_ENDPOINT', 'it must begin with http:// or https://')
  }
}
