/** What lives longer than any release: the network, the key, the archive, and the log's home. */
import { KmsAlias } from '@cdktf/provider-aws/lib/kms-alias/index.js'
import { KmsKey } from '@cdktf/provider-aws/lib/kms-key/index.js'
import type { Construct } from 'constructs'
import { KafkaCluster } from '../constructs/kafka-cluster.ts'
import { LogVolume } from '../constructs/log-volume.ts'
import { Network } from '../constructs/network.ts'
import { PrivateBucket } from '../constructs/private-bucket.ts'
import type { Account, Environment, ExistingNetwork } from '../environment.ts'
import { kafkaSize } from '../kafka.ts'
import { ARCHIVE_CUTS_PREFIX, prefix } from '../names.ts'
import type { Place } from '../place.ts'
import { keyPolicy, type Statement } from '../policy.ts'
import { AwsStack } from './aws-stack.ts'

const ACCESS_LOG_DAYS = 365

export class Foundation extends AwsStack {
  readonly keyArn: string
  /** That of the environment, or one that is made. */
  readonly network: ExistingNetwork
  /** Of the load balancer and of buckets. */
  readonly accessLog: PrivateBucket
  readonly archive: PrivateBucket
  /** One of the two, by profile; both while the log of a former single task is drained. */
  readonly logVolume: LogVolume | undefined
  readonly kafka: KafkaCluster | undefined

  constructor(scope: Construct, account: Place, environment: Environment) {
    super(scope, `${environment.name}-foundation`, account, environment.name)
    const name = prefix(environment)
    const protect = environment.production
    const key = new KmsKey(this, 'key', {
      description: `Everything that Millrace stores in ${environment.name}`,
      enableKeyRotation: true,
      deletionWindowInDays: protect ? 30 : 7,
      policy: keyPolicy(account.id, account.region, ['cloudwatch', 'aps']),
    })
    new KmsAlias(this, 'key-alias', { name: `alias/${name}`, targetKeyId: key.keyId })
    this.keyArn = key.arn
    this.network =
      environment.network ?? new Network(this, 'network', { name, account, environment, kmsKeyArn: key.arn })

    this.accessLog = new PrivateBucket(this, 'access-log', {
      name: `${name}-access-${account.id}-${account.region}`,
      expireAfterDays: ACCESS_LOG_DAYS,
      protect,
      allow: (arn) => accessLogWriters(arn, account),
    })
    this.archive = new PrivateBucket(this, 'archive', {
      name: `${name}-archive-${account.id}-${account.region}`,
      kmsKeyArn: key.arn,
      shortLived: { prefix: ARCHIVE_CUTS_PREFIX }, // written again every half minute
      accessLog: { bucket: this.accessLog, prefix: 'archive/' },
      protect,
    })
    if (environment.profile === 'single' || environment.formerLog !== undefined) {
      this.logVolume = new LogVolume(this, 'log', { name, account, network: this.network, kmsKeyArn: key.arn, protect })
    }
    const size = kafkaSize(environment)
    if (size) {
      this.kafka = new KafkaCluster(this, 'kafka', {
        name,
        account,
        environment,
        size,
        network: this.network,
        kmsKeyArn: key.arn,
        protect,
      })
    }
  }
}

/** Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html */
function accessLogWriters(arn: string, { id, region }: Account): Statement[] {
  return [
    {
      Sid: 'LoadBalancerWritesAccessLogs',
      Principal: { Service: 'logdelivery.elasticloadbalancing.amazonaws.com' },
      Action: 's3:PutObject',
      Resource: `${arn}/load-balancer/AWSLogs/${id}/*`,
      Condition: { ArnLike: { 'aws:SourceArn': `arn:aws:elasticloadbalancing:${region}:${id}:loadbalancer/*` } },
    },
    {
      Sid: 'S3WritesAccessLogs',
      Principal: { Service: 'logging.s3.amazonaws.com' },
      Action: 's3:PutObject',
      Resource: `${arn}/archive/*`,
      Condition: { StringEquals: { 'aws:SourceAccount': id } },
    },
  ]
}
