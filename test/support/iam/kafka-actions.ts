/**
 * What a request of Kafka's protocol needs of IAM at Amazon MSK.
 * https://docs.aws.amazon.com/msk/latest/developerguide/kafka-actions.html has the table; https://kafka.apache.org/protocol the keys.
 */

/** What an action is on. */
export type KafkaResource = 'cluster' | 'topic' | 'group'

const PRODUCE = [['WriteData', 'topic']] as const
const IN_A_GROUP = [['AlterGroup', 'group']] as const

const BY_API: Readonly<Record<number, readonly (readonly [action: string, on: KafkaResource])[]>> = {
  0: PRODUCE,
  1: [['ReadData', 'topic']], // Fetch
  2: [['DescribeTopic', 'topic']], // ListOffsets
  3: [['DescribeTopic', 'topic']], // Metadata
  8: [
    ['AlterGroup', 'group'],
    ['ReadData', 'topic'],
  ], // OffsetCommit
  9: [
    ['DescribeGroup', 'group'],
    ['DescribeTopic', 'topic'],
  ], // OffsetFetch
  10: [['DescribeGroup', 'group']], // FindCoordinator
  11: IN_A_GROUP, // JoinGroup
  12: IN_A_GROUP, // Heartbeat
  13: IN_A_GROUP, // LeaveGroup
  14: IN_A_GROUP, // SyncGroup
  15: [['DescribeGroup', 'group']], // DescribeGroups
  19: [['CreateTopic', 'topic']],
  20: [['DeleteTopic', 'topic']],
  22: [['WriteDataIdempotently', 'cluster']], // InitProducerId
  32: [['DescribeTopicDynamicConfiguration', 'topic']], // DescribeConfigs
  36: [['Connect', 'cluster']], // SaslAuthenticate
  60: [['DescribeCluster', 'cluster']],
}

/** @throws Error for a request that is not known here. */
export function kafkaActionsOf(api: number): readonly (readonly [action: string, on: KafkaResource])[] {
  const actions = BY_API[api]
  if (actions === undefined) throw new Error(`what request ${api} of Kafka needs is not known here: add it`)
  return actions
}
