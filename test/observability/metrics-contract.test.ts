/** Dashboards and alerts of users name metrics: those of a released version stay, or the notes of an upgrade say what has changed. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { changesBetween } from '../../app/cli/upgrade.ts'
import { METRICS, type Metric, type MetricKey, metricName } from '../../app/observability/metrics-contract.ts'
import packageJson from '../../package.json' with { type: 'json' }
import upgradeNotes from '../../upgrade-notes.json' with { type: 'json' }

const FIXTURES = resolve(import.meta.dirname, '../fixtures')
type Known = Readonly<Record<string, Pick<Metric, 'type' | 'labels'>>>

test.each(readdirSync(FIXTURES).filter((version) => existsSync(join(FIXTURES, version, 'metrics.json'))))(
  'each metric of %s is there with its type and labels, or the notes say that it has changed',
  (version) => {
    const before: Known = JSON.parse(readFileSync(join(FIXTURES, version, 'metrics.json'), 'utf8'))
    const now: Known = Object.fromEntries(
      (Object.keys(METRICS) as MetricKey[]).map((key) => [metricName(key), METRICS[key]]),
    )
    const noted = new Set(changesBetween(upgradeNotes as never, version, packageJson.version).map(({ name }) => name))
    const kept = Object.entries(before).filter(([name]) => !noted.has(name))
    expect(kept.length).toBeGreaterThan(0)
    for (const [name, { type, labels }] of kept) {
      expect(now[name], name).toMatchObject({ type, labels })
    }
  },
)
