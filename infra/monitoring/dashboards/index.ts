/** All dashboards, in reading order. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { delivery } from './delivery.ts'
import { ingest } from './ingest.ts'
import { overview } from './overview.ts'
import { runtime } from './runtime.ts'

export const DASHBOARDS: Readonly<Record<string, Dashboard>> = { overview, ingest, delivery, runtime }

export interface Expression {
  /** Dashboard and panel. */
  readonly where: string
  readonly expr: string
}

/** Every expression of every panel. */
export function expressions(): readonly Expression[] {
  return Object.entries(DASHBOARDS).flatMap(([name, { panels = [] }]) =>
    panels.flatMap((panel) => {
      const targets = 'targets' in panel ? (panel.targets ?? []) : []
      return targets.map((target) => {
        if (!('expr' in target) || typeof target.expr !== 'string') throw new Error(`${panel.title} is no query`)
        return { where: `${name} · ${panel.title}`, expr: target.expr }
      })
    }),
  )
}
