/** What is written from the sources here and checked in, so that Prometheus and Grafana can read it without Node. */
import { DASHBOARDS } from './dashboards/index.ts'
import { rulesYaml } from './rules.ts'

/** Path from this folder → content. */
export function generatedFiles(): ReadonlyMap<string, string> {
  const note = '# Written from infra/monitoring/rules.ts by npm run docs.\n'
  const dashboards = Object.entries(DASHBOARDS).map(
    ([name, dashboard]) => [`grafana/dashboards/${name}.json`, `${JSON.stringify(dashboard, null, 2)}\n`] as const,
  )
  return new Map([['prometheus/rules.yaml', note + rulesYaml()], ...dashboards])
}
