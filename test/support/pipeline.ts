/** The steps of the workflows, each with the role it has there. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PipelineRole } from '../../infra/names.ts'
import type { EmulatedAws, Session } from './emulated-aws.ts'

export interface PipelineStep {
  readonly code: number
  readonly output: string
  /** What a later step of the workflow would get. */
  readonly outputs: Readonly<Record<string, string>>
  /** Markdown. */
  readonly summary: string
}

const MAIN = 'repo:example/millrace:ref:refs/heads/main'

/** Credentials as a job on main gets them, after the approval that `environment` asks for. */
export function sessionOf(aws: EmulatedAws, role: PipelineRole, environment?: string): Promise<Session> {
  const subject = environment === undefined ? MAIN : `repo:example/millrace:environment:${environment}`
  return aws.session(`millrace-github-${role}`, subject)
}

/** `npm run pipeline -- …args` in a copy of the project. */
export async function runPipeline(session: Session, project: string, ...args: string[]): Promise<PipelineStep> {
  const directory = mkdtempSync(join(tmpdir(), 'millrace-step-'))
  try {
    const [outputFile, summaryFile] = [join(directory, 'outputs'), join(directory, 'summary.md')]
    for (const file of [outputFile, summaryFile]) writeFileSync(file, '')
    const summaryOption = args[0] === 'apply' ? [] : ['--summary', summaryFile]
    const command = [
      `GITHUB_OUTPUT=${outputFile}`,
      'npm',
      'run',
      '--silent',
      'pipeline',
      '--',
      ...args,
      ...summaryOption,
    ]
    const { code, output } = await session.run(project, 'env', ...command)
    const lines = readFileSync(outputFile, 'utf8').trim().split('\n')
    const outputs = Object.fromEntries(lines.map((line) => line.split('=') as [string, string]))
    return { code, output, outputs, summary: readFileSync(summaryFile, 'utf8') }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
