/** Variables of the Kafka engine: brokers, topic, and authentication. */
import { choice, DAY_MS, flag, integer, invalid, names, SECOND_MS, text, type ValuesOf } from '../../variable.ts'

/** How a process authenticates to the brokers. */
export const KAFKA_AUTHS = ['none', 'tls', 'mtls', 'scram-sha-256', 'scram-sha-512', 'msk-iam'] as const
/** Maximum length of a topic's name in Kafka, characters. */
export const MAX_TOPIC_LENGTH = 249

export const KAFKA_VARIABLES = {
  KAFKA_BROKERS: names('Some of the brokers, `host:port` separated by commas; required when `LOG_ENGINE=kafka`.'),
  KAFKA_TOPIC: text('millrace', 'Topic of the events; dead letters go to `<topic>.dead-letters.<sink>`.'),
  KAFKA_GROUP: text(
    'millrace',
    'Consumer groups are named `<group>.<sink>`: processes with the same group share the work.',
  ),
  KAFKA_CREATE_TOPICS: flag(
    false,
    'Creates a missing topic; otherwise the start ends with an error that shows the command to create it.',
  ),
  KAFKA_PARTITIONS: integer(
    1,
    10_000,
    24,
    'Partitions of a topic that Millrace creates: the most processes that can deliver at the same time.',
  ),
  KAFKA_REPLICATION: integer(
    1,
    15,
    3,
    'Copies of each event in a topic that Millrace creates; an existing topic must have at least as many.',
  ),
  KAFKA_MIN_IN_SYNC: integer(
    1,
    15,
    2,
    'Copies that must be in sync before an event is acknowledged; a topic that requires fewer is refused.',
  ),
  KAFKA_RETENTION_MS: integer(
    60 * SECOND_MS,
    3650 * DAY_MS,
    7 * DAY_MS,
    'How long a topic that Millrace creates keeps events, delivered or not. Choose more than the longest outage of a sink.',
  ),
  KAFKA_WRITE_TIMEOUT_MS: integer(
    100,
    10 * 60 * SECOND_MS,
    10 * SECOND_MS,
    'How long a write is retried while brokers are unavailable or too few are in sync; then it is refused with 503.',
  ),
  KAFKA_REQUEST_TIMEOUT_MS: integer(
    100,
    60 * SECOND_MS,
    5 * SECOND_MS,
    'Timeout of one request to a broker; then it is retried, on another broker if needed.',
  ),
  KAFKA_AUTH: choice(
    KAFKA_AUTHS,
    'none',
    'Authentication to the brokers: `none`, `tls` (no identity), `mtls` (certificate), `scram-…` (user), `msk-iam` (AWS role). All but `none` use TLS.',
  ),
  KAFKA_USERNAME: text('', 'User of `scram-…`.'),
  KAFKA_PASSWORD: text('', 'Its password.'),
  KAFKA_CA_FILE: text('', 'PEM file of the certificates to trust; empty: the certificates that Node trusts.'),
  KAFKA_CERT_FILE: text('', 'PEM file of the client certificate, for `mtls`.'),
  KAFKA_KEY_FILE: text('', 'PEM file of the private key of that certificate.'),
  KAFKA_AWS_REGION: text('', 'Region of the cluster, for `msk-iam`.'),
}

/** Topic of the dead letters of a route. */
export function deadLetterTopic({ KAFKA_TOPIC }: { readonly KAFKA_TOPIC: string }, route: string): string {
  return `${KAFKA_TOPIC}.dead-letters.${route}`
}

export function checkKafka(config: ValuesOf<typeof KAFKA_VARIABLES>): void {
  const { KAFKA_BROKERS: brokers, KAFKA_AUTH: auth } = config
  if (brokers.length === 0) throw invalid('KAFKA_BROKERS', 'LOG_ENGINE is kafka: name some brokers, host:port')
  const odd = brokers.find((broker) => !/^(\[[\da-f:.]+\]|[\w.-]+):\d{1,5}$/i.test(broker))
  if (odd !== undefined) throw invalid('KAFKA_BROKERS', `${JSON.stringify(odd)} is not host:port`)
  for (const name of ['KAFKA_TOPIC', 'KAFKA_GROUP'] as const) {
    // Leave room for the suffixes that we add: Kafka's limit is 249.
    if (!/^(?!\.{1,2}$)[\w.-]{1,200}$/.test(config[name]))
      throw invalid(name, 'use 1 to 200 letters, digits, dots, _ and -, and more than one or two dots')
  }
  if (config.KAFKA_MIN_IN_SYNC > config.KAFKA_REPLICATION) {
    throw invalid(
      'KAFKA_MIN_IN_SYNC',
      `${config.KAFKA_MIN_IN_SYNC} copies cannot be in sync where there are KAFKA_REPLICATION=${config.KAFKA_REPLICATION}`,
    )
  }
  const needed = { mtls: ['KAFKA_CERT_FILE', 'KAFKA_KEY_FILE'], 'msk-iam': ['KAFKA_AWS_REGION'] } as const
  const scram = ['KAFKA_USERNAME', 'KAFKA_PASSWORD'] as const
  const wanted = auth.startsWith('scram') ? scram : auth === 'mtls' || auth === 'msk-iam' ? needed[auth] : []
  for (const name of wanted) if (config[name] === '') throw invalid(name, `KAFKA_AUTH=${auth} needs it`)
}
