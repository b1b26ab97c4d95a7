/** A project of a user in a container: its files, and the image that the Dockerfile of docs/image.md makes of them. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import packageJson from '../../package.json' with { type: 'json' }
import { npmAccess } from './base-images.ts'
import type { Architecture, Containers } from './containers.ts'
import { startRegistry } from './registry.ts'

const PAGE = resolve(import.meta.dirname, '../../docs/image.md')
const TWO_STAGES = /```dockerfile\n(FROM \S+ AS build\n[^`]*)```/

/** The handler needs `ms`, which Millrace has not, and `p-limit`, which Millrace has as well. */
const FILES: Readonly<Record<string, string>> = {
  'package.json': JSON.stringify({
    name: 'my-pipeline',
    type: 'module',
    dependencies: { millrace: `^${packageJson.version}`, ms: '2.1.3', 'p-limit': packageJson.dependencies['p-limit'] },
  }),
  'millrace.config.ts': `import { defineConfig, type Handler } from 'millrace'
import ms from 'ms'
import pLimit from 'p-limit'
import { LineSink } from './line-sink.ts'

const once = pLimit(1)
const mark: Handler = (event) => once(() => ({ ...event, tookms: ms(String(event.data)) }))

export default defineConfig({
  handlers: { mark },
  sinks: { lines: () => new LineSink() },
  routes: [{ name: 'all', handlers: ['mark'], sink: 'lines' }],
})
`,
  'line-sink.ts': `import { appendFile } from 'node:fs/promises'
import type { Sink, SinkBatch } from 'millrace'

export class LineSink implements Sink {
  readonly concurrency = 1
  readonly maxBatchEvents = 100

  async write({ items }: SinkBatch): Promise<undefined> {
    for (const { event } of items) await appendFile('data/own-lines', JSON.stringify(event) + '\\n')
  }

  async close(): Promise<void> {}
}
`,
}

interface Made {
  /** Name of the image. */
  readonly image: string
  /** Directory of the project. */
  readonly directory: string
  /** Images that stand in for the public ones. */
  readonly millrace: string
  readonly build: string
  readonly architecture: Architecture
  /** The npm package, packed. */
  readonly tarball: string
}

/** Writes the project, its lock file, and the Dockerfile of the page, of which only the two bases are other ones. */
export async function buildProjectImage(containers: Containers, made: Made): Promise<void> {
  const { directory, architecture } = made
  for (const [name, text] of Object.entries(FILES)) writeFileSync(join(directory, name), text)
  const [, dockerfile = ''] = TWO_STAGES.exec(readFileSync(PAGE, 'utf8')) ?? []
  const local = dockerfile.replace(/^FROM \S+ AS build$/m, `FROM ${made.build} AS build`)
  writeFileSync(join(directory, 'Dockerfile'), local.replace(/^FROM ghcr\.io\S+$/m, `FROM ${made.millrace}`))
  const registry = await startRegistry([made.tarball])
  try {
    const install = ['install', '--package-lock-only', '--no-audit', '--no-fund', '--registry', registry.url]
    await containers.must('npm', install, { cwd: directory })
    await containers.must('buildah', [
      ...['build', '--format', 'docker', '--isolation', 'chroot', '--pull-never', '--tag', made.image],
      ...(await npmAccess(containers, architecture, registry.url)),
      directory,
    ])
  } finally {
    registry.stop()
  }
}
