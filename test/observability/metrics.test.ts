/** The metrics contract against the real service: names, labels, and counts that equal what a client counted itself. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ERRORS } from '../../app/errors.ts'
import { Metrics } from '../../app/observability/metrics.ts'
import {
  LABELS,
  METRICS,
  type Metric,
  metricName,
  REFUSE_REASONS,
  RUNTIME_METRICS,
} from '../../app/observability/metrics-contract.ts'
import { startEndpoint } from '../support/endpoint.ts'
import { type Service, scrape, startService, until } from '../support/service.ts'
import { temporaryDirectory } from '../support/temporary.ts'

/** Sent altogether, at least. */
const EVENTS = Number(process.env.MILLRACE_COUNTED_EVENTS ?? 5000)

test('what is exported is the contract: every metric, its type, its labels, and nothing else', async () => {
  const directory = temporaryDirectory()
  const hooks = "{ it: { provider: 'github', secretVariables: ['HOOK_SECRET'] } }"
  writeFileSync(join(directory, 'millrace.config.mjs'), `export default { hooks: ${hooks} }\n`)
  const service = await startService(directory, { HOOK_SECRET: 'a-secret-of-16-bytes' })
  const text = await (await fetch(`${service.adminUrl}/metrics`)).text()
  const types = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => [name, type]))
  const contract = Object.entries<Metric>(METRICS)
  expect([...types].filter(([name]) => name?.startsWith('millrace_')).sort()).toEqual(
    contract.map(([key, { type }]) => [`millrace_${key}`, type]).sort(),
  )
  for (const [key, { type, labels }] of contract) {
    const name = `millrace_${key}${type === 'histogram' ? '_count' : ''}`
    const series = text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    expect(series.length, name).toBeGreaterThan(0)
    for (const line of series)
      expect(
        [...line.matchAll(/(\w+)="/g)].map(([, label]) => label),
        line,
      ).toEqual([...labels])
  }
  for (const name of RUNTIME_METRICS) expect(types.has(name), name).toBe(true)
})

test('names say their unit, counters end in _total, help is a sentence, and labels are explained', () => {
  for (const [key, { type, unit, labels, help, buckets }] of Object.entries<Metric>(METRICS)) {
    expect(key.endsWith('_total'), key).toBe(type === 'counter')
    if (unit === 'seconds' || unit === 'bytes' || unit === 'ratio') expect(key).toMatch(new RegExp(`_${unit}$`))
    expect(help).toMatch(/^[A-Z1f].*\.$/)
    expect(buckets !== undefined, key).toBe(type === 'histogram')
    for (const label of labels) expect(LABELS).toHaveProperty(label)
  }
})

test('a refusal counts against the service exactly when its status is a 5xx other than 501 and 505', () => {
  for (const [reason, fault] of Object.entries(REFUSE_REASONS)) {
    const status = ERRORS[reason.toUpperCase() as keyof typeof ERRORS]?.status ?? (reason === 'internal' ? 500 : 400)
    // What a client asks for that there is not (RFC 9110, sections 15.6.2 and 15.6.6) is no failure.
    const isServices = status >= 500 && status !== 501 && status !== 505
    expect([reason, fault]).toEqual([reason, isServices ? 'service' : 'client'])
  }
})

test('a failure of the log is still counted by the process that comes after it', async () => {
  const directory = temporaryDirectory()
  const failing = new Metrics(directory, '0.0.0', 'all')
  failing.restore(0)
  failing.logFailed()
  failing.close()
  const next = new Metrics(directory, '0.0.0', 'all')
  next.restore(0)
  next.observe({
    channel: { slots: 0, bytes: 0 },
    capacityEvents: 1,
    capacityBytes: 1,
    log: { committedEvents: 0, sizeBytes: 0, fill: 0 },
    deliveries: [],
  })
  expect((await next.scrape()).text).toContain(`\n${metricName('log_failures_total')} 1\n`)
  next.close()
})

/** What the client counts, from what it sent and from the answers alone. */
class ClientCounts {
  received = 0
  committed = 0
  dead = 0
  readonly rejected = new Map<string, number>()
  readonly refused = new Map<string, number>()

  /** `events` valid ones, of which `dead` will be refused by the endpoint, and `broken` that are not events. */
  async send(service: Service, key: string, events: number, dead: number, broken: number): Promise<void> {
    const lines = Array.from({ length: events }, (_, at) =>
      JSON.stringify({ id: `${this.received + at}${at < dead ? '-dead' : ''}`, data: at }),
    )
    const body = [...lines, ...Array.from({ length: broken }, () => '{"id":"no data"}')].join('\n')
    const headers = { 'content-type': 'application/x-ndjson', authorization: `Bearer ${key}` }
    const response = await fetch(`${service.url}/v1/events`, { method: 'POST', headers, body })
    const answer = (await response.json()) as { accepted?: number; rejected?: unknown[]; type?: string }
    const listed = answer.rejected?.length ?? (response.status === 202 ? 0 : broken)
    this.received += events + broken
    add(this.rejected, 'invalid', listed)
    if (response.status === 202) {
      expect(answer.accepted).toBe(events)
      this.committed += events
      this.dead += dead
      return
    }
    const reason = answer.type?.replace('urn:millrace:problem:', '').replaceAll('-', '_') ?? ''
    add(this.refused, reason, 1)
    add(this.rejected, reason, events)
  }

  /** A request that is refused before its events can be counted. */
  async sendBroken(service: Service, headers: Record<string, string>, body: string, reason: string): Promise<void> {
    const response = await fetch(`${service.url}/v1/events`, { method: 'POST', headers, body })
    expect(((await response.json()) as { type: string }).type).toBe(
      `urn:millrace:problem:${reason.replaceAll('_', '-')}`,
    )
    add(this.refused, reason, 1)
  }
}

function add(counts: Map<string, number>, key: string, more: number): void {
  counts.set(key, (counts.get(key) ?? 0) + more)
}

/** The values of one metric by its only label, without the zeros. */
function byLabel(samples: Map<string, number>, name: string): Map<string, number> {
  const found = new Map<string, number>()
  for (const [series, value] of samples) {
    const [, label] = new RegExp(`^${name}{\\w+="(.*)"}$`).exec(series) ?? []
    if (label !== undefined && value > 0) found.set(label, value)
  }
  return found
}

test("events rejected, events dead-lettered, and a restart: every counter equals the client's own count", async () => {
  const directory = temporaryDirectory()
  const endpoint = await startEndpoint(({ id }) => (id.endsWith('dead') ? 400 : 200))
  // Each half of the test sends three and a half parts.
  const part = Math.ceil(EVENTS / 700) * 100
  const sender = 'sender-key-0123456789'
  const greedy = 'greedy-key-0123456789'
  const environment = {
    SINKS: 'file,http',
    HTTP_SINK_URL: endpoint.url,
    RETRY_MAX_ATTEMPTS: '3',
    API_KEYS: `sender:${sender},greedy:${greedy}`,
    // The burst is ten times that: enough for the sender, whose requests are small, and less than the greedy one wants.
    QUOTA_EVENTS_PER_SECOND: String(Math.ceil(part / 10)),
    CHANNEL_CAPACITY_EVENTS: String(10 * part),
    MAX_REQUEST_EVENTS: String(10 * part),
    MAX_BODY_BYTES: String(32 * 1024 * 1024),
    CHANNEL_CAPACITY_BYTES: String(64 * 1024 * 1024),
    SHUTDOWN_DRAIN_MS: '60000',
  }
  const client = new ClientCounts()
  const batch = 50
  const half = async (service: Service) => {
    for (let sent = 0; sent < part / 2; sent += batch) await client.send(service, sender, batch - 6, 2, 6)
    await client.send(service, greedy, part - 10, 0, 10)
    await client.send(service, greedy, part - 10, 0, 10) // over its quota now
    await client.send(service, greedy, part + 10, 0, 0) // more than its quota ever allows
    const headers = { authorization: `Bearer ${sender}` }
    await client.sendBroken(service, { ...headers, 'content-type': 'application/json' }, '{"data":', 'malformed')
    await client.sendBroken(service, { ...headers, 'content-type': 'text/plain' }, 'x', 'unsupported_type')
    await client.sendBroken(service, { 'content-type': 'application/json' }, '{"data":1}', 'unauthorized')
  }
  const settled = (service: Service) =>
    until(
      async () => [...byLabel(await scrape(service), 'millrace_delivery_lag_events').values()].length === 0,
      240_000,
      'everything is settled',
    )

  const first = await startService(directory, environment)
  await half(first)
  expect(await first.stop()).toBe(0)
  const second = await startService(directory, environment)
  await half(second)
  await settled(second)
  const samples = await scrape(second)

  expect(samples.get('millrace_events_received_total')).toBe(client.received)
  expect(samples.get('millrace_events_committed_total')).toBe(client.committed)
  expect(samples.get('millrace_events_in_flight')).toBe(0)
  expect(byLabel(samples, 'millrace_events_rejected_total')).toEqual(client.rejected)
  expect([...client.rejected.keys()].sort()).toEqual(['invalid', 'over_quota', 'too_many_events'])
  expect(byLabel(samples, 'millrace_requests_refused_total')).toEqual(client.refused)
  const delivered = byLabel(samples, 'millrace_events_delivered_total')
  expect(delivered).toEqual(
    new Map([
      ['file', client.committed],
      ['http', client.committed - client.dead],
    ]),
  )
  expect(byLabel(samples, 'millrace_events_dead_lettered_total')).toEqual(new Map([['http', client.dead]]))
  expect(byLabel(samples, 'millrace_dead_letters_pending')).toEqual(new Map([['http', client.dead]]))
  expect(byLabel(samples, 'millrace_events_damaged_total').size).toBe(0)
  expect(endpoint.received.length).toBe(client.committed - client.dead)
  expect(client.dead).toBeGreaterThan(0)
  expect(client.received).toBeGreaterThanOrEqual(EVENTS)

  endpoint.answer = () => 200
  const replay = await fetch(`${second.adminUrl}/dead-letters/http/replay`, {
    method: 'POST',
    headers: { 'x-millrace-admin': '1' },
  })
  expect(await replay.json()).toEqual({ letters: client.dead, failedAgain: 0 })
  const after = await scrape(second)
  expect(after.get('millrace_events_replayed_total{sink="http"}')).toBe(client.dead)
  expect(after.get('millrace_dead_letters_pending{sink="http"}')).toBe(0)
  expect(endpoint.received.length).toBe(client.committed)
  expect(await second.stop()).toBe(0)
  const sum = (counts: Map<string, number>) => [...counts.values()].reduce((total, value) => total + value, 0)
  console.error(
    `  ${client.received} events: ${client.committed} committed, ${sum(client.rejected)} rejected ${JSON.stringify(Object.fromEntries(client.rejected))}, ${client.dead} dead-lettered and replayed, 1 restart: every counter equal`,
  )
}, 300_000)
