/**
 * The way in: a load balancer behind a web application firewall.
 *
 * With a domain: HTTPS on 443 alone, open to the world. Without one there is no certificate, so there is
 * no HTTPS: plain HTTP, open to `allowedCidrs` only.
 */
import { AcmCertificate } from '@cdktf/provider-aws/lib/acm-certificate/index.js'
import { AcmCertificateValidation } from '@cdktf/provider-aws/lib/acm-certificate-validation/index.js'
import { Lb } from '@cdktf/provider-aws/lib/lb/index.js'
import { LbListener } from '@cdktf/provider-aws/lib/lb-listener/index.js'
import { LbTargetGroup } from '@cdktf/provider-aws/lib/lb-target-group/index.js'
import { Route53Record } from '@cdktf/provider-aws/lib/route53-record/index.js'
import { SecurityGroup } from '@cdktf/provider-aws/lib/security-group/index.js'
import { VpcSecurityGroupEgressRule } from '@cdktf/provider-aws/lib/vpc-security-group-egress-rule/index.js'
import { VpcSecurityGroupIngressRule } from '@cdktf/provider-aws/lib/vpc-security-group-ingress-rule/index.js'
import { TerraformStack, TerraformVariable } from 'cdktf'
import { Construct } from 'constructs'
import type { Environment, ExistingNetwork } from '../environment.ts'
import { CALLER_VARIABLE } from '../names.ts'
import { TIMING } from '../timing.ts'
import { Firewall } from './firewall.ts'
import type { PrivateBucket } from './private-bucket.ts'

export interface EdgeOptions {
  readonly name: string
  readonly environment: Environment
  readonly network: ExistingNetwork
  readonly accessLog: PrivateBucket
  readonly kmsKeyArn: string
  /** Of the tasks. */
  readonly port: number
}

/** TLS 1.2 and 1.3, forward secrecy only. */
const TLS_POLICY = 'ELBSecurityPolicy-TLS13-1-2-2021-06'

type Domain = NonNullable<Environment['domain']>

export class Edge extends Construct {
  readonly url: string
  /** One sentence: who can reach the URL. */
  readonly reachability: string
  readonly targetGroupArn: string
  readonly securityGroupId: string
  /** What a service must wait for before it can be attached. */
  readonly listener: LbListener
  /** Dimensions of the load balancer's metrics. */
  readonly dimensions: { readonly LoadBalancer: string; readonly TargetGroup: string }
  readonly #group: SecurityGroup
  readonly #balancer: Lb
  readonly #targets: LbTargetGroup

  constructor(scope: Construct, id: string, options: EdgeOptions) {
    super(scope, id)
    const { name, environment, kmsKeyArn } = options
    this.#group = this.#securityGroup(options)
    this.#balancer = this.#loadBalancer(options)
    this.#targets = this.#targetGroup(options)
    this.securityGroupId = this.#group.id
    this.targetGroupArn = this.#targets.arn
    this.dimensions = { LoadBalancer: this.#balancer.arnSuffix, TargetGroup: this.#targets.arnSuffix }
    new Firewall(this, 'firewall', { name, environment, kmsKeyArn, balancerArn: this.#balancer.arn })

    const { domain } = environment
    if (domain) {
      this.listener = this.#listenTls(domain)
      this.url = `https://${domain.name}`
      this.reachability = 'Open to the world, over HTTPS.'
    } else {
      this.listener = this.#listenPlain(allowedCidrs(this, environment))
      this.url = `http://${this.#balancer.dnsName}`
      this.reachability = whoReaches(environment)
    }
  }

  #securityGroup({ name, environment, network, port }: EdgeOptions): SecurityGroup {
    const group = new SecurityGroup(this, 'group', {
      vpcId: network.vpcId,
      namePrefix: `${name}-edge-`,
      description: 'Load balancer',
      tags: { Name: `${name}-edge` },
      lifecycle: { createBeforeDestroy: true },
    })
    new VpcSecurityGroupEgressRule(this, 'to-tasks', {
      securityGroupId: group.id,
      description: 'To the tasks',
      cidrIpv4: environment.cidr,
      ipProtocol: 'tcp',
      fromPort: port,
      toPort: port,
    })
    return group
  }

  #loadBalancer({ name, environment, network, accessLog }: EdgeOptions): Lb {
    return new Lb(this, 'balancer', {
      name,
      loadBalancerType: 'application',
      internal: false,
      subnets: [...network.publicSubnetIds],
      securityGroups: [this.#group.id],
      idleTimeout: TIMING.balancerIdleSeconds,
      dropInvalidHeaderFields: true,
      desyncMitigationMode: 'strictest',
      enableDeletionProtection: environment.production,
      accessLogs: { enabled: true, bucket: accessLog.name, prefix: 'load-balancer' },
    })
  }

  /**
   * With TLS, the certificate of a task is not checked: the VPC lets nobody take the address of another
   * (https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-target-groups.html).
   */
  #targetGroup({ network, port, environment }: EdgeOptions): LbTargetGroup {
    const protocol = environment.tlsToTasks ? 'HTTPS' : 'HTTP'
    return new LbTargetGroup(this, 'targets', {
      namePrefix: 'mill-',
      vpcId: network.vpcId,
      protocol,
      port,
      targetType: 'ip',
      deregistrationDelay: String(TIMING.deregistrationSeconds),
      loadBalancingAlgorithmType: 'least_outstanding_requests',
      healthCheck: {
        protocol,
        path: '/health/ready',
        matcher: '200',
        interval: TIMING.healthCheckSeconds,
        timeout: 3,
        healthyThreshold: 2,
        unhealthyThreshold: TIMING.unhealthyChecks,
      },
      lifecycle: { createBeforeDestroy: true },
    })
  }

  /** Without a domain there is no certificate: plain HTTP, for known places alone. */
  #listenPlain(allowed: readonly string[]): LbListener {
    for (const [at, cidr] of allowed.entries()) this.#admit(`http-${at}`, 80, cidr, 'HTTP from a known place')
    return new LbListener(this, 'http', {
      loadBalancerArn: this.#balancer.arn,
      port: 80,
      protocol: 'HTTP',
      defaultAction: this.#forward(),
    })
  }

  /** Nothing listens on port 80: a redirect would answer after the API key was sent in clear. */
  #listenTls(domain: Domain): LbListener {
    this.#admit('https', 443, '0.0.0.0/0', 'HTTPS from anywhere')
    const listener = new LbListener(this, 'https-listener', {
      loadBalancerArn: this.#balancer.arn,
      port: 443,
      protocol: 'HTTPS',
      sslPolicy: TLS_POLICY,
      certificateArn: this.#certificate(domain),
      defaultAction: this.#forward(),
    })
    new Route53Record(this, 'name', {
      zoneId: domain.hostedZoneId,
      name: domain.name,
      type: 'A',
      alias: { name: this.#balancer.dnsName, zoneId: this.#balancer.zoneId, evaluateTargetHealth: true },
    })
    return listener
  }

  /** Proven by a record in the zone of the domain. @returns the ARN of the certificate once it is valid. */
  #certificate(domain: Domain): string {
    const certificate = new AcmCertificate(this, 'certificate', {
      domainName: domain.name,
      validationMethod: 'DNS',
      lifecycle: { createBeforeDestroy: true },
    })
    const proof = certificate.domainValidationOptions.get(0)
    const record = new Route53Record(this, 'certificate-proof', {
      zoneId: domain.hostedZoneId,
      name: proof.resourceRecordName,
      type: proof.resourceRecordType,
      records: [proof.resourceRecordValue],
      ttl: 300,
      allowOverwrite: true,
    })
    const validated = new AcmCertificateValidation(this, 'certificate-validated', {
      certificateArn: certificate.arn,
      validationRecordFqdns: [record.fqdn],
    })
    return validated.certificateArn
  }

  #forward() {
    return [{ type: 'forward', targetGroupArn: this.#targets.arn }]
  }

  #admit(id: string, port: number, cidrIpv4: string, description: string): void {
    const rule = { description, cidrIpv4, ipProtocol: 'tcp', fromPort: port, toPort: port }
    new VpcSecurityGroupIngressRule(this, `from-${id}`, { securityGroupId: this.#group.id, ...rule })
  }
}

function whoReaches({ name, allowedCidrs = [] }: Environment): string {
  const known = allowedCidrs === 'me' ? `\${var.${CALLER_VARIABLE}}` : allowedCidrs.join(', ')
  const places = known === '' ? 'nowhere yet: set allowedCidrs or domain' : known
  return `No domain is set, so there is no certificate: plain HTTP, reachable from ${places} (infra/config.ts, ${name}).`
}

/** `me` is a variable, so that the stack is the same whoever synthesises it. */
function allowedCidrs(scope: Construct, { allowedCidrs = [] }: Environment): readonly string[] {
  if (allowedCidrs !== 'me') return allowedCidrs
  const caller = new TerraformVariable(TerraformStack.of(scope), CALLER_VARIABLE, {
    type: 'string',
    nullable: false,
    description: `allowedCidrs is 'me': npm run deploy and plan set it; elsewhere TF_VAR_${CALLER_VARIABLE}=192.0.2.7/32`,
  })
  return [caller.stringValue]
}
