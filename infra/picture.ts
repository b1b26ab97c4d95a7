/**
 * The architecture as a picture, drawn from the synthesised stacks. Each important resource is a box. An arrow means
 * that one box refers to another, directly or through resources that are too small for a box (a listener, a rule, a
 * policy).
 */
import type { Block, SynthesisedStack } from './synthesise.ts'

/** Types that get a box, with what is written in it; the text may take an attribute. */
const BOXES: Readonly<Record<string, (block: Block) => string>> = {
  aws_wafv2_web_acl: () => 'web application firewall',
  aws_lb: () => 'load balancer',
  aws_ecs_service: ({ name }) => `${name}<br/>ECS service on Fargate`,
  aws_secretsmanager_secret: () => 'API keys<br/>Secrets Manager',
  aws_efs_file_system: () => 'embedded log<br/>EFS',
  aws_msk_cluster: () => 'log<br/>Kafka (MSK), 3 brokers',
  aws_s3_bucket: ({ bucket }) => `${String(bucket).split('-')[2]}<br/>S3 bucket`,
  aws_prometheus_workspace: () => 'metrics<br/>Managed Prometheus',
  aws_prometheus_rule_group_namespace: () => 'rules and alerts',
  aws_prometheus_alert_manager_definition: () => 'alert manager',
  aws_sns_topic: () => 'alarms<br/>SNS',
  aws_sns_topic_subscription: () => 'e-mail',
  aws_budgets_budget: () => 'budget',
  aws_nat_gateway: () => 'NAT',
  aws_appautoscaling_target: ({ resource_id, service_namespace }) =>
    service_namespace === 'kafka' ? 'growth of broker disks' : `scaling of ${String(resource_id).split('/').at(-1)}`,
}
/** Named by nearly everything: arrows to them would say nothing. */
const BACKGROUND = /^aws_(kms|vpc|subnet|security_group|cloudwatch|route|internet|default|flow|eip)/

/** A Mermaid flowchart of the stacks of one environment. */
export function picture(stacks: readonly SynthesisedStack[]): string {
  const blocks = new Map<string, Block>()
  const outputs = new Map<string, string>()
  for (const { json, resource } of stacks) {
    for (const [type, named] of Object.entries(resource)) {
      for (const [name, block] of Object.entries(named)) blocks.set(`${type}.${name}`, block)
    }
    for (const [name, { value }] of Object.entries((json.output ?? {}) as Record<string, Block>))
      outputs.set(name, String(value))
  }
  const isBox = (address: string) => typeOf(address) in BOXES
  const namedBy = (address: string): string[] => {
    // What a role may touch is said by its policies, which name the role.
    const policies = [...blocks].filter(
      ([name, { role }]) => typeOf(name) === 'aws_iam_role_policy' && String(role).includes(`${address}.`),
    )
    const text = JSON.stringify([blocks.get(address), ...policies.map(([, block]) => block.policy)])
    const across = [...text.matchAll(/outputs\.([\w-]+)\}/g)].map(([, name = '']) => outputs.get(name) ?? '')
    return [...new Set([text, ...across].flatMap((part) => [...part.matchAll(/\b(aws_\w+\.[\w-]+)\b/g)]))]
      .map(([, found = '']) => found)
      .filter((found) => found !== address && blocks.has(found) && !BACKGROUND.test(found))
  }
  /** Boxes that it names, seen through what has no box. */
  const boxesFrom = (address: string, seen = new Set<string>()): string[] =>
    namedBy(address).flatMap((next) => {
      if (seen.has(next)) return []
      seen.add(next)
      return isBox(next) ? [next] : boxesFrom(next, seen)
    })

  const lines = ['flowchart LR']
  const ids = new Map([...blocks.keys()].filter(isBox).map((address, at) => [address, `n${at}`]))
  for (const { name, resource } of stacks) {
    lines.push(`  subgraph ${name}`)
    for (const address of Object.entries(resource).flatMap(([type, named]) =>
      Object.keys(named).map((one) => `${type}.${one}`),
    )) {
      const text = BOXES[typeOf(address)]?.(blocks.get(address) ?? {})
      if (text !== undefined) lines.push(`    ${ids.get(address)}["${text}"]`)
    }
    lines.push('  end')
  }
  const arrows = new Set<string>()
  for (const address of blocks.keys()) {
    const from = boxesFrom(address)
    if (isBox(address)) {
      for (const to of from) {
        // A service names its load balancer, but events go the other way.
        const [begin, end] =
          typeOf(to) === 'aws_lb' && typeOf(address) === 'aws_ecs_service' ? [to, address] : [address, to]
        arrows.add(`  ${ids.get(begin)} --> ${ids.get(end)}`)
      }
    }
    // A firewall and a load balancer do not name each other: an association names both.
    else if (/_association\./.test(address)) {
      const [one, other] = from.sort()
      if (one && other) arrows.add(`  ${ids.get(other)} --> ${ids.get(one)}`)
    }
  }
  return [...lines, ...[...arrows].filter((arrow) => !/ (n\d+) --> \1$/.test(arrow)).sort()].join('\n')
}

function typeOf(address: string): string {
  return address.slice(0, address.indexOf('.'))
}
