/** Prometheus and promtool as they are installed here; tests that need them are skipped, and say why. */
import { findProgram } from '../../../../infra/monitoring/local-prometheus.ts'

interface Program {
  readonly path: string
  readonly missing: boolean
  /** For the name of a test. */
  readonly why: string
}

function program(name: 'prometheus' | 'promtool'): Program {
  const path = findProgram(name, process.env)
  if (path !== undefined) return { path, missing: false, why: '' }
  const why = ` (skipped: no ${name} on the PATH; set ${name.toUpperCase()}_PATH or install the package prometheus)`
  return { path: name, missing: true, why }
}

export const PROMETHEUS = program('prometheus')
export const PROMTOOL = program('promtool')
