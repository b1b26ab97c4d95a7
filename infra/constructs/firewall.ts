/** Web application firewall: what is known to be bad, and too much from one address, never reaches a task. What it refuses is logged. */
import { CloudwatchLogGroup } from '@cdktf/provider-aws/lib/cloudwatch-log-group/index.js'
import { Wafv2WebAcl } from '@cdktf/provider-aws/lib/wafv2-web-acl/index.js'
import { Wafv2WebAclAssociation } from '@cdktf/provider-aws/lib/wafv2-web-acl-association/index.js'
import { Wafv2WebAclLoggingConfiguration } from '@cdktf/provider-aws/lib/wafv2-web-acl-logging-configuration/index.js'
import { Construct } from 'constructs'
import type { Environment } from '../environment.ts'

export interface FirewallOptions {
  readonly name: string
  readonly environment: Environment
  readonly kmsKeyArn: string
  readonly balancerArn: string
}

/** Groups of AWS in the order they are asked; `count`: rules that would refuse what we are made for. */
const MANAGED: readonly { readonly group: string; readonly count?: readonly string[] }[] = [
  { group: 'AWSManagedRulesAmazonIpReputationList' },
  // One event with such a text (for example from a system that collects attacks) must not block its whole request.
  { group: 'AWSManagedRulesKnownBadInputsRuleSet', count: ['Log4JRCE_BODY', 'JavaDeserializationRCE_BODY'] },
  // Bulk bodies are larger than 8 KiB; events may hold text that looks like a script; machines send without a user agent.
  {
    group: 'AWSManagedRulesCommonRuleSet',
    count: [
      'SizeRestrictions_BODY',
      'CrossSiteScripting_BODY',
      'GenericLFI_BODY',
      'GenericRFI_BODY',
      'EC2MetaDataSSRF_BODY',
      'NoUserAgent_HEADER',
    ],
  },
]

/** A fifth of the window that it counts in. */
const RETRY_AFTER_SECONDS = '60'

export class Firewall extends Construct {
  constructor(scope: Construct, id: string, { name, environment, kmsKeyArn, balancerArn }: FirewallOptions) {
    super(scope, id)
    const visible = (metric: string) => ({
      cloudwatchMetricsEnabled: true,
      sampledRequestsEnabled: true,
      metricName: `${name}-${metric}`,
    })
    const managed = MANAGED.map(({ group, count = [] }, at) => ({
      name: group,
      priority: at + 1,
      overrideAction: { none: {} },
      statement: {
        managed_rule_group_statement: {
          name: group,
          vendor_name: 'AWS',
          rule_action_override: count.map((rule) => ({ name: rule, action_to_use: { count: {} } })),
        },
      },
      visibilityConfig: visible(group),
    }))
    const acl = new Wafv2WebAcl(this, 'acl', {
      name,
      description: `Guards ${name}`,
      scope: 'REGIONAL',
      defaultAction: { allow: {} },
      visibilityConfig: visible('all'),
      rule: [
        {
          name: 'too-many-requests',
          priority: 0,
          action: {
            block: {
              customResponse: {
                responseCode: 429,
                responseHeader: [{ name: 'retry-after', value: RETRY_AFTER_SECONDS }],
              },
            },
          },
          statement: {
            rate_based_statement: {
              limit: environment.requestsPerFiveMinutesPerAddress,
              evaluation_window_sec: 300,
              aggregate_key_type: 'IP',
            },
          },
          visibilityConfig: visible('too-many-requests'),
        },
        ...managed,
      ],
    })
    new Wafv2WebAclAssociation(this, 'balancer', { resourceArn: balancerArn, webAclArn: acl.arn })
    const logs = new CloudwatchLogGroup(this, 'log', {
      name: `aws-waf-logs-${name}`, // WAF writes to groups of this name only
      retentionInDays: environment.logRetentionDays,
      kmsKeyId: kmsKeyArn,
    })
    new Wafv2WebAclLoggingConfiguration(this, 'logging', {
      resourceArn: acl.arn,
      logDestinationConfigs: [logs.arn],
      redactedFields: [{ singleHeader: { name: 'authorization' } }],
      // What was let through is in the metrics of the service: a line for each would cost more than the tasks.
      loggingFilter: {
        defaultBehavior: 'DROP',
        filter: [{ behavior: 'KEEP', requirement: 'MEETS_ANY', condition: [{ actionCondition: { action: 'BLOCK' } }] }],
      },
    })
  }
}
