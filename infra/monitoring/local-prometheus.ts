/** A local Prometheus: its configuration, and where the program is. */
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { stringify } from 'yaml'
import { JOB } from './promql.ts'

export interface PrometheusOptions {
  /** Admin listeners to scrape, `host:port`. */
  readonly targets: readonly string[]
  readonly rulesFile: string
  /** Milliseconds between scrapes. */
  readonly scrapeMs: number
}

/** Without an evaluation interval: the groups of rules have their own. */
export function prometheusYaml({ targets, rulesFile, scrapeMs }: PrometheusOptions): string {
  return stringify({
    global: { scrape_interval: `${scrapeMs}ms`, scrape_timeout: `${Math.min(scrapeMs, 5000)}ms` },
    rule_files: [rulesFile],
    scrape_configs: [{ job_name: JOB, static_configs: [{ targets }] }],
  })
}

interface RunOptions {
  readonly configFile: string
  /** For its database. */
  readonly directory: string
  readonly port: number
}

/** Loopback only, and no more disk than a laptop can spare. */
export function prometheusArguments({ configFile, directory, port }: RunOptions): string[] {
  return [
    `--config.file=${configFile}`,
    `--storage.tsdb.path=${join(directory, 'tsdb')}`,
    '--storage.tsdb.retention.time=7d',
    '--storage.tsdb.retention.size=1GB',
    `--web.listen-address=127.0.0.1:${port}`,
    '--log.level=warn',
  ]
}

/**
 * The program, from its own variable (`PROMETHEUS_PATH`, `PROMTOOL_PATH`) or the PATH.
 * @returns undefined when it is not installed.
 */
export function findProgram(name: 'prometheus' | 'promtool', environment: NodeJS.ProcessEnv): string | undefined {
  const given = environment[`${name.toUpperCase()}_PATH`]
  const candidates = given ? [given] : (environment.PATH ?? '').split(delimiter).map((folder) => join(folder, name))
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

export const HOW_TO_INSTALL = `no prometheus on the PATH: install it (Debian, Ubuntu: apt-get install prometheus;
macOS: brew install prometheus), name it in PROMETHEUS_PATH, or have the service and Prometheus in containers: docker compose --profile monitoring up`
