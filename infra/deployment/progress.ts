/**
 * What AWS is doing, from what Terraform says with `-json`: https://developer.hashicorp.com/terraform/internals/machine-readable-ui
 * Most things take a second; a line is for those that take longer, with how long they usually do.
 */

/** What it is, and how long AWS usually takes. From documents of AWS and reports of users, not measured here. */
const SLOW: Readonly<Record<string, readonly [what: string, takes: string]>> = {
  aws_acm_certificate_validation: ['certificate', '1 to 10 minutes'],
  aws_ecs_service: ['service, until its tasks are healthy', '3 to 10 minutes'],
  aws_efs_mount_target: ['mount target of the disk', '1 to 2 minutes'],
  aws_grafana_workspace: ['Managed Grafana', '3 to 5 minutes'],
  aws_lb: ['load balancer', '2 to 4 minutes'],
  aws_msk_cluster: ['Kafka cluster', '20 to 40 minutes'],
  aws_nat_gateway: ['NAT gateway', '1 to 3 minutes'],
  aws_prometheus_workspace: ['Managed Prometheus', '1 minute'],
  aws_vpc_endpoint: ['VPC endpoint', '1 to 3 minutes'],
}
const DONE: Readonly<Record<string, string>> = { create: 'makes', update: 'changes', delete: 'removes' }
/** Between two lines about the same thing. */
const SAID_EVERY_SECONDS = 60

export interface Diagnostic {
  readonly summary: string
  readonly detail: string
  readonly address: string | undefined
}

interface Line {
  readonly type?: string
  readonly '@message'?: string
  readonly changes?: { readonly operation: string }
  readonly diagnostic?: { severity: string; summary: string; detail: string; address?: string }
  readonly hook?: {
    readonly resource: { readonly addr: string; readonly resource_type: string }
    readonly action: string
    readonly elapsed_seconds?: number
  }
}

/** Of one run of Terraform. */
export class Progress {
  /** In the order they came. */
  readonly errors: Diagnostic[] = []
  /** The closing line, such as `Apply complete! Resources: 3 added, 0 changed, 0 destroyed.` */
  result = ''
  readonly #say: (line: string) => void
  readonly #saidSeconds = new Map<string, number>()
  /** What has begun and not ended: whether AWS has answered, and only the wait is left. */
  readonly #begun = new Map<string, boolean>()

  constructor(say: (line: string) => void) {
    this.#say = say
  }

  /** Takes a line of `terraform apply -json`. */
  take(text: string): void {
    const line = parse(text)
    if (line === undefined) return
    const { type, diagnostic, changes, hook, '@message': message = '' } = line
    if (type === 'diagnostic' && diagnostic?.severity === 'error') {
      const { summary, detail, address } = diagnostic
      this.errors.push({ summary, detail, address })
    }
    if (type === 'change_summary') {
      if (changes?.operation === 'plan') this.#say(`  ${message}`)
      else this.result = message
    }
    if (hook) this.#about(type, hook)
  }

  /**
   * Whether Terraform may be ended. It cancels calls of AWS that are on their way: what such a call makes is in AWS, and in no state.
   * What takes long is in the state from the first answer on.
   */
  get isQuiet(): boolean {
    return [...this.#begun.values()].every((isAnswered) => isAnswered)
  }

  #about(
    type: string | undefined,
    { resource, action, elapsed_seconds: seconds = 0 }: NonNullable<Line['hook']>,
  ): void {
    const { addr, resource_type: kind } = resource
    const slow = SLOW[kind]
    if (action === 'read') return
    if (type === 'apply_start') this.#begun.set(addr, false)
    if (type === 'apply_progress') this.#begun.set(addr, slow !== undefined) // comes after ten seconds
    if (type === 'apply_complete' || type === 'apply_errored') this.#begun.delete(addr)
    if (slow === undefined) return
    const [what, takes] = slow
    if (type === 'apply_start') this.#say(`  AWS ${DONE[action] ?? action} the ${what}: usually ${takes}`)
    if (type === 'apply_complete') this.#say(`  ${what}: done after ${seconds} s`)
    if (type !== 'apply_progress' || seconds - (this.#saidSeconds.get(addr) ?? 0) < SAID_EVERY_SECONDS) return
    this.#saidSeconds.set(addr, seconds)
    this.#say(`  ${what}: ${seconds} s so far, usually ${takes}`)
  }
}

function parse(text: string): Line | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // not a line of it: a warning of the program before it begins
  }
}
