/**
 * List prices on demand in US dollars, us-east-1: what an environment costs at rest (`infra/sizing/cost.ts`) and what a load costs
 * (`millrace plan`). Other regions are 10 to 30 % dearer; Savings Plans and free tiers are not counted. Check
 * https://calculator.aws before you rely on a figure.
 */
export const PRICES_AS_OF = 'June 2026, us-east-1'

export const HOURS_PER_MONTH = 730

export const PRICES = {
  // aws.amazon.com/fargate/pricing, Linux on ARM
  fargateArmCpuHour: 0.03238,
  fargateArmGibHour: 0.00356,
  /** Of the price on demand: the discount changes, AWS names up to 70 %. */
  spotShareOfPrice: 0.3,
  // aws.amazon.com/ec2/pricing and /ebs/pricing: a machine of one's own, its gp3 volume
  machineHour: 0.0816,
  volumeGib: 0.08,
  natHour: 0.045,
  endpointHour: 0.01,
  // aws.amazon.com/elasticloadbalancing/pricing: a capacity unit takes 1 GB an hour
  balancerHour: 0.0225,
  balancerUnitHour: 0.008,
  // aws.amazon.com/waf/pricing
  firewall: 5,
  firewallRule: 1,
  firewallMillionRequests: 0.6,
  key: 1,
  secret: 0.4,
  alarm: 0.1,
  // aws.amazon.com/cloudwatch/pricing: of one's own, and of Container Insights; those of AWS services are free
  metric: 0.3,
  dashboard: 3,
  // aws.amazon.com/msk/pricing, Standard brokers
  brokerHour: {
    'kafka.t3.small': 0.0456,
    'kafka.m7g.large': 0.204,
    'kafka.m7g.xlarge': 0.408,
    'kafka.m7g.2xlarge': 0.816,
    'kafka.m7g.4xlarge': 1.632,
  } as Readonly<Record<string, number>>,
  brokerGib: 0.1,
  /** A MiB/s of provisioned storage throughput for a month. */
  brokerThroughputMibps: 0.08,
  /** Both directions, between a client and a broker in another zone; replication between brokers is free. */
  crossZoneGb: 0.02,
} as const
