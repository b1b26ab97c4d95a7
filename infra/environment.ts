/** What `config.ts` may say: the account that everything lives in, and one environment. */
import type { SettableVariable } from './settable.ts'

export interface Account {
  /** Twelve digits. Terraform refuses to touch any other account. */
  readonly id: string
  /** Such as `eu-central-1`. */
  readonly region: string
  /** Receives alarms and budget warnings; confirms the subscription by a click once. */
  readonly alertsEmail: string
  /**
   * Pages go to PagerDuty as well: ARN of a secret with the integration key, and the name of the key in it. The secret, and the KMS
   * key that encrypts it, must let `aps.amazonaws.com` read it.
   */
  readonly pagerDuty?: { readonly secretArn: string; readonly secretKey: string }
  /**
   * The repository whose GitHub Actions may plan (pull requests) and apply (main, after approval). Repositories created
   * since July 2026 present numeric ids as well: give both ids then (`gh api repos/OWNER/NAME --jq '.owner.id, .id'`).
   */
  readonly github: {
    readonly owner: string
    readonly repository: string
    readonly ownerId?: number
    readonly repositoryId?: number
    /**
     * An account has one OpenID Connect provider of GitHub. `existing`: another project made it, with `sts.amazonaws.com` among its
     * audiences. Default: `make`.
     */
    readonly oidcProvider?: 'make' | 'existing'
    /** What the workflows plan and deploy, in this order; empty: nothing. */
    readonly deploys: readonly Environment['name'][]
  }
  /**
   * What AWS lets this account have in a region, as Service Quotas shows it: all environments in that region must fit. A new
   * account may have 6 vCPUs of Fargate. Ask for more before the first deployment.
   */
  readonly quotas: {
    /** Service Quotas L-0263D0A3. One a NAT gateway. */
    readonly elasticIps: number
    /** Service Quotas L-3032A538, on demand. */
    readonly fargateVcpus: number
  }
  /** Terraform refuses to destroy the state bucket and its images. */
  readonly protectState: boolean
  /** Exact version of the AWS provider. Before 6.26.0 a refresh reads the value of each secret: then the plan role may, too. */
  readonly awsProviderVersion: string
}

/** Another account: it has its own bootstrap, and runs images from the repository of the account above. */
export interface OtherAccount extends Pick<Account, 'id' | 'region' | 'quotas'> {
  /** As `github.oidcProvider`. */
  readonly oidcProvider?: 'make' | 'existing'
}

/** By digest: what was tested is what runs. A tag is allowed outside production only. */
export type Image = { readonly digest: string } | { readonly tag: string }

export interface Tasks {
  /** CPU units of Fargate, 1024 a core: 256, 512, 1024, 2048, 4096, 8192, 16384. */
  readonly cpu: number
  /** What Fargate offers beside that CPU. */
  readonly memoryMiB: number
  readonly minTasks: number
  readonly maxTasks: number
  /** Known peaks: a higher floor between two moments. AWS cron expressions, UTC. */
  readonly peaks?: readonly {
    readonly name: string
    readonly from: string
    readonly to: string
    readonly minTasks: number
  }[]
}

/** Of each of the three brokers. */
export interface KafkaSize {
  readonly brokerType: string
  /** Of each broker, at first: it grows by itself, and never shrinks. */
  readonly storageGiB: number
  /** How far it may grow. Default: four times `storageGiB`. */
  readonly maxStorageGiB?: number
  /** MiB of events a second that the disks are for, on average. How long the topic keeps events follows from both. */
  readonly plannedMibps: number
}

/** Existing brokers. */
export interface ExistingKafka {
  /** `host:port` of some brokers, all on one port. */
  readonly brokers: readonly string[]
  /** As KAFKA_AUTH. `scram-…` needs KAFKA_USERNAME in `variables` or `secrets`, and KAFKA_PASSWORD in `secrets`. */
  readonly auth: 'none' | 'tls' | 'scram-sha-256' | 'scram-sha-512' | 'msk-iam'
  /** Where the brokers are. Their security group must let the tasks in. */
  readonly at: Destination
  /** For `msk-iam`: ARN of the cluster. */
  readonly clusterArn?: string
  /** Whether the service creates its topics, with KAFKA_PARTITIONS etc. of `variables`. Default: false, they exist. */
  readonly createTopics?: boolean
}

/** A VPC that is there. The private subnets need a way to AWS services: NAT, or endpoints. */
export interface ExistingNetwork {
  readonly vpcId: string
  /** One a zone, for tasks, EFS and brokers. */
  readonly privateSubnetIds: readonly string[]
  /** One a zone, for the load balancer. */
  readonly publicSubnetIds: readonly string[]
}

/** What connections may go to: a security group that is in the same VPC or reachable from it, or an IPv4 range. */
export type Destination = { readonly securityGroupId: string } | { readonly cidr: string }

/** A bucket that is there. Events are written below `events/`. */
export interface S3Bucket {
  readonly bucket: string
  /** Default: the region of the environment. */
  readonly region?: string
  /** Key of the bucket, where it is not S3's own. Its policy must let this account use it. */
  readonly kmsKeyArn?: string
}

/** Where events go. Values such as URLs are in `variables` and `secrets`. */
export interface Sinks {
  /** `archive`: the bucket that the foundation makes. */
  readonly s3?: 'archive' | S3Bucket
  /** Where the database of POSTGRES_SINK_URL is. `port`: 1–65535, default 5432. Its security group must let the tasks in. */
  readonly postgres?: Destination & { readonly port?: number }
  /** Where HTTP_SINK_URL is: `https` is any host over 443. */
  readonly http?: 'https' | (Destination & { readonly port: number })
  /** The image has `routes` in its millrace.config.ts: SINKS is not set, and this says only what routes can reach. Default: false. */
  readonly routes?: boolean
}

/** By name, in the account and region of the environment. */
export type Secret = (
  | {
      /** Name in Secrets Manager. */
      readonly secret: string
      /** Where the secret is a JSON object: the key of the value. */
      readonly jsonKey?: string
    }
  | {
      /** Name in Parameter Store. */
      readonly parameter: string
    }
) & {
  /** Where it is encrypted with a key of your own. Default: the key of AWS. */
  readonly kmsKeyArn?: string
}

export interface Environment {
  /** Two to sixteen lower-case letters and digits, such as `dev`: part of every name in AWS. Never change it once deployed. */
  readonly name: string
  /** Default: the account above. Environments in the same account name the same value. */
  readonly account?: OtherAccount
  /** Default: the region of its account, which holds the state and the key of the state in any case. */
  readonly region?: string
  /** Deletion protection, images by digest only. Turn off to destroy: docs/runbooks/deploy.md. */
  readonly production: boolean
  /** `single`: one task with its log on EFS. `scaled`: `ingest` and `deliver` around Kafka. */
  readonly profile: 'single' | 'scaled'
  /** A VPC that is there; nothing of it is changed. Default: one is made. */
  readonly network?: ExistingNetwork
  /** Of the VPC, /16 to /22. With `network`: the range that the private subnets are in, /8 to /28. */
  readonly cidr: string
  /** Letters of availability zones, two or three; never change them once deployed, subnets would move. */
  readonly zones: readonly string[]
  /** `none`: with `network`, which has its own way out. */
  readonly natGateways: 'none' | 'one' | 'per-zone'
  /**
   * None with `network`. Services reached without NAT, such as `logs`. One costs $7.30 a month in each zone and saves $0.035 a
   * GB: it pays from 209 GB a month in each zone on, which these tasks send to none but S3, whose endpoint is free.
   */
  readonly interfaceEndpoints: readonly string[]
  /** With one: HTTPS, a certificate and a DNS record. Without: plain HTTP, reachable from `allowedCidrs` only. Production needs one. */
  readonly domain?: { readonly name: string; readonly hostedZoneId: string }
  /**
   * Who may reach an environment without a domain: IPv4 ranges; default nobody outside the VPC. `me`: the address of the person who runs
   * `npm run deploy`, as CALLER_ADDRESS_URL (default https://checkip.amazonaws.com) sees it. Workflows refuse `me`.
   */
  readonly allowedCidrs?: 'me' | readonly string[]
  /**
   * The load balancer encrypts the way to the tasks as well. Each task makes its certificate. Changed on a deployed environment, nothing
   * is reached until the new tasks are healthy, some minutes: docs/infrastructure.md. Default: false.
   */
  readonly tlsToTasks?: boolean
  readonly image: Image
  /** Share of tasks on Fargate Spot, 0–1; 0 in production. */
  readonly spotShare: number
  /** `all` for `single`, and to drain its log; `ingest` and `deliver` for `scaled`. */
  readonly tasks: { readonly all?: Tasks; readonly ingest?: Tasks; readonly deliver?: Tasks }
  /** For `scaled`: three new brokers of Amazon MSK, or existing brokers. */
  readonly kafka?: KafkaSize | ExistingKafka
  /**
   * For `scaled` that was `single`: what becomes of the log of the single task. A deployment each, in this order
   * (docs/runbooks/single-to-scaled.md). `drain`: its task stays, takes no requests, and delivers what its log has. `keep`: the task
   * goes, its disk stays. Left out: the disk goes as well.
   */
  readonly formerLog?: 'drain' | 'keep'
  /** Variables of the service, as in the README, that the stacks do not set. Those of sinks are given to tasks that deliver. */
  readonly variables?: Readonly<Partial<Record<SettableVariable, string>>>
  /** Variables whose values are secret. Tasks read them when they start. */
  readonly secrets?: Readonly<Partial<Record<SettableVariable, Secret>>>
  /**
   * Secrets of webhooks, by the variables that `secretVariables` of millrace.config.ts name. For tasks that take events. Tasks read
   * them when they start.
   */
  readonly hookSecrets?: Readonly<Record<string, Secret>>
  /** Default: `{ s3: 'archive' }`. */
  readonly sinks?: Sinks
  /** As CloudWatch Logs offers: 1, 3, 5, 7, 14, 30, 60, 90, … 365, … */
  readonly logRetentionDays: number
  /** The web application firewall blocks an address beyond it; 10 to 2,000,000,000. */
  readonly requestsPerFiveMinutesPerAddress: number
  /** Managed Grafana for the dashboards, about $9 a month for each editor; needs IAM Identity Center. Default: none. */
  readonly managedGrafana?: boolean
  /** Raise by one for a new API key: docs/runbooks/rotate-keys.md. */
  readonly apiKeyVersion: number
  readonly budgetUsdPerMonth: number
}
