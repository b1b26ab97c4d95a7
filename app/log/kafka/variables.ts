/** Variables of the Kafka engine: which brokers, which topic, and who we are to them. */
import { choice, DAY_MS, flag, integer, invalid, names, SECOND_MS, text, type ValuesOf } from '../../variable.ts'

/** Who a process is to the brokers. */
export const KAFKA_AUTHS = ['none', 'tls', 'mtls', 'scram-sha-256', 'scram-sha-512', 'msk-iam'] as const
/** Most letters of a topic's name, in Kafka. */
export const MAX_TOPIC_LENGTH = 249

export const KAFKA_VARIABLES = {
  KAFKA_BROKERS: names('Some brokers, `host:port` separated by commas; needed when `LOG_ENGINE=kafka`.'),
  KAFKA_TOPIC: text('millrace', 'Topic of the events; dead letters go to `<topic>.dead-letters.<sink>`.'),
  KAFKA_GROUP: text(
    'millrace',
    'Consumer groups are named `<group>.<sink>`: processes with the same one share the work.',
  ),
  KAFKA_CREATE_TOPICS: flag(
    false,
    'Makes a topic that is missing; otherwise the start ends with the command that makes it.',
  ),
  KAFKA_PARTITIONS: integer(
    1,
    10_000,
    24,
    'Partitions of a topic made here: at most so many processes deliver at once.',
  ),
  KAFKA_REPLICATION: integer(
    1,
    15,
    3,
    'Copies of each event: of a topic made here, and at least so many of one that is there.',
  ),
  KAFKA_MIN_IN_SYNC: integer(
    1,
    15,
    2,
    'Copies that must be in sync before an event is acknowledged; a topic with fewer is refused.',
  ),
  KAFKA_RETENTION_MS: integer(
    60 * SECOND_MS,
    3650 * DAY_MS,
    7 * DAY_MS,
    'How long a topic made here keeps events, delivered or not: longer than any outage of a sink.',
  ),
  KAFKA_WRITE_TIMEOUT_MS: integer(
    100,
    10 * 60 * SECOND_MS,
    10 * SECOND_MS,
    'How long a write is tried while brokers are away or too few are in sync; then it is refused with 503.',
  ),
  KAFKA_REQUEST_TIMEOUT_MS: integer(
    100,
    60 * SECOND_MS,
    5 * SECOND_MS,
    'Time for one request to a broker; then it is tried again, at another one if need be.',
  ),
  KAFKA_AUTH: choice(
    KAFKA_AUTHS,
    'none',
    'Who we are to the brokers, all but `none` over TLS: `tls` nobody, `mtls` a certificate, `scram-…` a user, `msk-iam` a role of AWS.',
  ),
  KAFKA_USERNAME: text('', 'User of `scram-…`.'),
  KAFKA_PASSWORD: text('', 'Its password.'),
  KAFKA_CA_FILE: text('', 'PEM file of the certificates to trust; empty: those that Node trusts.'),
  KAFKA_CERT_FILE: text('', 'PEM file of our certificate, for `mtls`.'),
  KAFKA_KEY_FILE: text('', 'PEM file of its key.'),
  KAFKA_AWS_REGION: text('', 'Region of the cluster, for `msk-iam`.'),
}

/** Where the dead letters of a route go. */
export function deadLetterTopic({ KAFKA_TOPIC }: { readonly KAFKA_TOPIC: string }, route: string): string {
  return `${KAFKA_TOPIC}.dead-letters.${route}`
}

export function checkKafka(config: ValuesOf<typeof KAFKA_VARIABLES>): void {
  const { KAFKA_BROKERS: brokers, KAFKA_AUTH: auth } = config
  if (brokers.length === 0) throw invalid('KAFKA_BROKERS', 'LOG_ENGINE is kafka: name some brokers, host:port')
  const odd = brokers.find((broker) => !/^(\[[\da-f:.]+\]|[\w.-]+):\d{1,5}$/i.test(broker))
  if (odd !== undefined) throw invalid('KAFKA_BROKERS', `${JSON.stringify(odd)} is not host:port`)
  for (const name of ['KAFKA_TOPIC', 'KAFKA_GROUP'] as const) {
    // Room for what is put behind it: Kafka's limit is 249.
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
