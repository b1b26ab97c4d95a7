/**
 * The network: tasks in private subnets without public addresses, only the load balancer in public ones.
 *
 *     internet ─▶ load balancer (public) ─▶ tasks (private) ─▶ endpoints, or NAT ─▶ AWS, sinks
 */
import { CloudwatchLogGroup } from '@cdktf/provider-aws/lib/cloudwatch-log-group/index.js'
import { DefaultSecurityGroup } from '@cdktf/provider-aws/lib/default-security-group/index.js'
import { Eip } from '@cdktf/provider-aws/lib/eip/index.js'
import { FlowLog } from '@cdktf/provider-aws/lib/flow-log/index.js'
import { InternetGateway } from '@cdktf/provider-aws/lib/internet-gateway/index.js'
import { NatGateway } from '@cdktf/provider-aws/lib/nat-gateway/index.js'
import { RouteTable } from '@cdktf/provider-aws/lib/route-table/index.js'
import { RouteTableAssociation } from '@cdktf/provider-aws/lib/route-table-association/index.js'
import { SecurityGroup } from '@cdktf/provider-aws/lib/security-group/index.js'
import { Subnet } from '@cdktf/provider-aws/lib/subnet/index.js'
import { Vpc } from '@cdktf/provider-aws/lib/vpc/index.js'
import { VpcEndpoint } from '@cdktf/provider-aws/lib/vpc-endpoint/index.js'
import { VpcSecurityGroupIngressRule } from '@cdktf/provider-aws/lib/vpc-security-group-ingress-rule/index.js'
import { Construct } from 'constructs'
import { parseCidr, subnetOf } from '../cidr.ts'
import type { Account, Environment, ExistingNetwork } from '../environment.ts'
import { ServiceRole } from './service-role.ts'

export interface NetworkOptions {
  readonly name: string
  readonly account: Account
  readonly environment: Environment
  /** Encrypts the flow logs. */
  readonly kmsKeyArn: string
}

/** Eighths of the VPC: 0–2 are private, 4–6 public; the others stay free. */
const PUBLIC_FROM = 4

export class Network extends Construct implements ExistingNetwork {
  readonly vpcId: string
  readonly publicSubnetIds: string[] = []
  readonly privateSubnetIds: string[] = []
  readonly #options: NetworkOptions
  readonly #vpc: Vpc
  readonly #privateRouteTables: RouteTable[] = []

  constructor(scope: Construct, id: string, options: NetworkOptions) {
    super(scope, id)
    this.#options = options
    const { name, environment } = options
    this.#vpc = new Vpc(this, 'vpc', {
      cidrBlock: environment.cidr,
      enableDnsHostnames: true,
      enableDnsSupport: true,
      tags: { Name: name },
    })
    this.vpcId = this.#vpc.id
    // Without rules: what forgets to name a security group reaches nothing.
    new DefaultSecurityGroup(this, 'default-closed', { vpcId: this.vpcId })
    this.#subnets()
    this.#endpoints()
    this.#flowLog()
  }

  #subnets(): void {
    const { name, account, environment } = this.#options
    const internet = new InternetGateway(this, 'internet', { vpcId: this.vpcId, tags: { Name: name } })
    const publicRoutes = new RouteTable(this, 'public', {
      vpcId: this.vpcId,
      route: [{ cidrBlock: '0.0.0.0/0', gatewayId: internet.id }],
      tags: { Name: `${name}-public` },
    })
    const bits = (parseCidr(environment.cidr)?.bits ?? 0) + 3
    const nats: NatGateway[] = []
    for (const [zone, letter] of environment.zones.entries()) {
      const availabilityZone = `${account.region}${letter}`
      const open = new Subnet(this, `public-${zone}`, {
        vpcId: this.vpcId,
        availabilityZone,
        cidrBlock: subnetOf(environment.cidr, bits, PUBLIC_FROM + zone),
        tags: { Name: `${name}-public-${zone}` },
      })
      new RouteTableAssociation(this, `public-route-${zone}`, { subnetId: open.id, routeTableId: publicRoutes.id })
      this.publicSubnetIds.push(open.id)
      if (zone === 0 || environment.natGateways === 'per-zone') {
        const address = new Eip(this, `nat-address-${zone}`, { domain: 'vpc', tags: { Name: `${name}-nat-${zone}` } })
        const nat = new NatGateway(this, `nat-${zone}`, {
          allocationId: address.id,
          subnetId: open.id,
          tags: { Name: `${name}-${zone}` },
          dependsOn: [internet],
        })
        nats.push(nat)
        this.#privateRouteTables.push(
          new RouteTable(this, `private-${zone}`, {
            vpcId: this.vpcId,
            route: [{ cidrBlock: '0.0.0.0/0', natGatewayId: nat.id }],
            tags: { Name: `${name}-private-${zone}` },
          }),
        )
      }
      const closed = new Subnet(this, `private-subnet-${zone}`, {
        vpcId: this.vpcId,
        availabilityZone,
        cidrBlock: subnetOf(environment.cidr, bits, zone),
        tags: { Name: `${name}-private-${zone}` },
      })
      const routes = this.#privateRouteTables[zone] ?? this.#privateRouteTables[0]
      if (routes) {
        new RouteTableAssociation(this, `private-route-${zone}`, { subnetId: closed.id, routeTableId: routes.id })
      }
      this.privateSubnetIds.push(closed.id)
    }
  }

  #endpoints(): void {
    const { name, account, environment } = this.#options
    // Costs nothing, and image layers and archived events take this way instead of NAT.
    new VpcEndpoint(this, 's3', {
      vpcId: this.vpcId,
      serviceName: `com.amazonaws.${account.region}.s3`,
      vpcEndpointType: 'Gateway',
      routeTableIds: this.#privateRouteTables.map((table) => table.id),
      tags: { Name: `${name}-s3` },
    })
    if (environment.interfaceEndpoints.length === 0) return
    const group = new SecurityGroup(this, 'endpoints', {
      vpcId: this.vpcId,
      namePrefix: `${name}-endpoints-`,
      description: 'AWS services reached from inside the VPC',
      tags: { Name: `${name}-endpoints` },
      lifecycle: { createBeforeDestroy: true },
    })
    new VpcSecurityGroupIngressRule(this, 'endpoints-https', {
      securityGroupId: group.id,
      description: 'HTTPS from the VPC',
      cidrIpv4: environment.cidr,
      ipProtocol: 'tcp',
      fromPort: 443,
      toPort: 443,
    })
    for (const service of environment.interfaceEndpoints) {
      new VpcEndpoint(this, `endpoint-${service.replaceAll('.', '-')}`, {
        vpcId: this.vpcId,
        serviceName: `com.amazonaws.${account.region}.${service}`,
        vpcEndpointType: 'Interface',
        privateDnsEnabled: true,
        subnetIds: this.privateSubnetIds,
        securityGroupIds: [group.id],
        tags: { Name: `${name}-${service}` },
      })
    }
  }

  #flowLog(): void {
    const { name, account, environment, kmsKeyArn } = this.#options
    const group = new CloudwatchLogGroup(this, 'flow-log-group', {
      name: `/millrace/${environment.name}/flow`,
      retentionInDays: environment.logRetentionDays,
      kmsKeyId: kmsKeyArn,
    })
    const role = new ServiceRole(this, 'flow-log-role', {
      name: `${name}-flow-log`,
      account,
      service: 'vpc-flow-logs.amazonaws.com',
      statements: [
        {
          Action: ['logs:CreateLogStream', 'logs:PutLogEvents', 'logs:DescribeLogStreams'],
          Resource: `${group.arn}:*`,
        },
      ],
    })
    new FlowLog(this, 'flow-log', {
      vpcId: this.vpcId,
      trafficType: 'ALL',
      logDestination: group.arn,
      logDestinationType: 'cloud-watch-logs',
      iamRoleArn: role.arn,
      maxAggregationInterval: 600,
      tags: { Name: name },
    })
  }
}
