/** The workflows: what actionlint says of them, and what a review of a supply chain asks. */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import vitestConfig from '../vitest.config.ts'
import { OTHER_ACCOUNT, temporaryProject } from './support/synth.ts'

const PROJECT = resolve(import.meta.dirname, '..')
const actionlint = process.env.ACTIONLINT ?? 'actionlint'
const noActionlint =
  spawnSync(actionlint, ['-version']).status !== 0 &&
  'left out: no actionlint; go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12, and name it in ACTIONLINT'

interface Step {
  readonly if?: string
  readonly env?: Readonly<Record<string, string>>
  readonly uses?: string
  readonly run?: string
  readonly with?: Readonly<Record<string, unknown>>
}
interface Job {
  readonly if?: string
  readonly uses?: string
  readonly environment?: string
  readonly concurrency?: unknown
  readonly 'timeout-minutes'?: number
  readonly with?: Readonly<Record<string, unknown>>
  readonly strategy?: {
    readonly 'fail-fast'?: boolean
    readonly 'max-parallel'?: number
    readonly matrix: Readonly<Record<string, readonly unknown[]>>
  }
  readonly permissions?: Readonly<Record<string, string>>
  readonly steps?: readonly Step[]
}
interface Workflow {
  readonly on: Readonly<Record<string, unknown>>
  readonly permissions: Readonly<Record<string, string>>
  readonly jobs: Readonly<Record<string, Job>>
}

const workflows = readdirSync(resolve(PROJECT, '.github/workflows')).map((file) => {
  const text = readFileSync(resolve(PROJECT, '.github/workflows', file), 'utf8')
  return { file, text, workflow: parse(text, { merge: true }) as Workflow }
})
const prepareText = readFileSync(resolve(PROJECT, '.github/actions/prepare/action.yaml'), 'utf8')
const prepare = parse(prepareText) as { runs: { steps: Step[] } }
const jobs = workflows.flatMap(({ file, workflow }) =>
  Object.entries(workflow.jobs).map(([name, job]) => ({ at: `${file}: ${name}`, file, workflow, job })),
)
const steps = [
  ...jobs.flatMap(({ at, job }) => (job.steps ?? []).map((step) => ({ at, step }))),
  ...prepare.runs.steps.map((step) => ({ at: 'prepare', step })),
]
/** As a workflow writes it. */
const expression = (text: string) => `\${{ ${text} }}`
const runs = steps.flatMap(({ at, step }) => (step.run === undefined ? [] : [{ at, run: step.run }]))

test.skipIf(noActionlint)(`actionlint finds nothing${noActionlint ? ` (${noActionlint})` : ''}`, () => {
  const { status, stdout, stderr } = spawnSync(actionlint, ['-no-color'], { cwd: PROJECT, encoding: 'utf8' })
  expect([status, stdout, stderr]).toEqual([0, '', ''])
})

test('every action is pinned by commit, with its version beside it', () => {
  const lines = [...workflows.map(({ text }) => text), prepareText]
    .flatMap((text) => text.split('\n'))
    .filter((line) => /\buses:/.test(line))
  expect(lines.length).toBeGreaterThan(20)
  for (const line of lines) expect(line).toMatch(/uses: (\.\/\.github\/|[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$)/)
  const versions = new Map(lines.map((line) => [line.match(/uses: ([\w./-]+)/)?.[1], line.trim().replace(/^- /, '')]))
  for (const line of lines) {
    const action = line.match(/uses: ([\w./-]+)/)?.[1]
    expect(line.trim().replace(/^- /, ''), 'one version of an action everywhere').toBe(versions.get(action))
  }
})

test('scripts hold the logic: each one that a workflow runs exists, and steps are short', () => {
  const { scripts } = JSON.parse(readFileSync(resolve(PROJECT, 'package.json'), 'utf8'))
  const called = runs.flatMap(({ run }) =>
    [...run.matchAll(/npm (?:run(?: --silent)? )([\w:-]+)/g)].map(([, name]) => name),
  )
  expect(new Set(called)).toContain('pipeline')
  for (const name of called) expect(Object.keys(scripts)).toContain(name)
  for (const { at, run } of runs) expect(run.trim().split('\n').length, at).toBeLessThanOrEqual(7)
})

test('every suite is run: the parts of .ci/run name each project, and ci has a job for each part', () => {
  const ciRun = readFileSync(resolve(PROJECT, '.ci/run'), 'utf8')
  const { scripts } = JSON.parse(readFileSync(resolve(PROJECT, 'package.json'), 'utf8'))
  const commands = [...ciRun.matchAll(/npm run ([\w:]+)/g)].map(([, name = '']) => scripts[name])
  const named = [ciRun, ...commands, scripts.unit].flatMap((text) => [...text.matchAll(/--project (\w+)/g)])
  const projects = (vitestConfig.test?.projects ?? []).map(
    (project) => (project as { test: { name: string } }).test.name,
  )
  expect(projects.length).toBeGreaterThan(5)
  expect([...new Set(named.map(([, name]) => name))].sort()).toEqual(projects.sort())

  const words = (pattern: RegExp) => (pattern.exec(ciRun)?.[1] ?? '').split(/[\s']+/).filter((word) => word !== '')
  const parts = [...words(/^PARTS=\((.*)\)$/m), ...words(/^ALONE=\((.*)\)$/m)].sort()
  expect(parts.length).toBeGreaterThan(10)
  const ci = workflows.find(({ file }) => file === 'ci.yaml')?.workflow
  expect([...(ci?.jobs.part?.strategy?.matrix.part ?? [])].sort()).toEqual(parts)
})

test('a release publishes the packages with provenance, and the image to both registries under one digest', () => {
  const texts = runs.filter(({ at }) => at === 'release.yaml: publish').map(({ run }) => run)
  expect(texts.find((run) => run.includes('npm publish'))).toMatch(
    /for name in millrace create-millrace;[\s\S]*--provenance/,
  )
  const copied = texts.find((run) => run.includes('ghcr.io'))
  expect(copied).toMatch(/imagetools create --tag \S+ "\$IMAGE@\$DIGEST"/)
  expect(copied).toMatch(/cosign sign --yes \S+@\$DIGEST"/)
})

test('a release that is run again goes on behind the push: a tag cannot be written twice', () => {
  const release = steps.filter(({ at }) => at === 'release.yaml: publish').map(({ step }) => step)
  const looks = release.findIndex(({ run }) => run?.includes('aws ecr describe-images'))
  const pushes = release.findIndex(({ uses }) => uses?.startsWith('docker/build-push-action@'))
  expect(looks).toBeGreaterThan(0)
  expect(pushes).toBeGreaterThan(looks)
  expect(release[pushes]?.if).toBe("steps.pushed.outputs.digest == ''")
  expect(release[looks]?.run).toMatch(/digest=\$found[\s\S]*ImageNotFoundException[\s\S]*exit 1/)
  const digests = release.flatMap(({ env }) => env?.DIGEST ?? [])
  expect(digests.length).toBeGreaterThan(2)
  for (const digest of digests) {
    expect(digest).toBe(expression('steps.pushed.outputs.digest || steps.image.outputs.digest'))
  }
})

test('the pull request of a release says that its checks wait for an approval', () => {
  const opened = runs.filter(({ run }) => run.includes('gh pr create'))
  expect(opened.map(({ at }) => at)).toEqual(['release.yaml: publish'])
  expect(opened[0]?.run).toMatch(/--body ".*its checks wait until somebody approves them/)
})

describe('permissions', () => {
  test('a workflow may read, and no more; jobs that need more say which', () => {
    for (const { file, workflow } of workflows) expect(workflow.permissions, file).toEqual({ contents: 'read' })
    const writing = jobs.flatMap(({ at, job }) =>
      Object.entries(job.permissions ?? {}).flatMap(([what, how]) => (how === 'write' ? [`${at} ${what}`] : [])),
    )
    expect(writing.sort()).toEqual(
      [
        'deploy.yaml: comment pull-requests',
        'deploy.yaml: environment actions',
        'deploy.yaml: environment id-token',
        'deploy.yaml: plan id-token',
        'drift.yaml: compare id-token',
        'drift.yaml: issue issues',
        'environment.yaml: apply actions',
        'environment.yaml: apply id-token',
        'environment.yaml: plan id-token',
        ...['attestations', 'contents', 'id-token', 'packages', 'pull-requests'].map(
          (what) => `release.yaml: publish ${what}`,
        ),
        'site.yaml: publish id-token',
        'site.yaml: publish pages',
      ].sort(),
    )
  })

  test('a fork gets nothing: no secret is used, and what runs for a pull request with a token is for our own branches', () => {
    for (const { file, text, workflow } of workflows) {
      expect(Object.keys(workflow.on), file).not.toContain('pull_request_target')
      expect(Object.keys(workflow.on), file).not.toContain('workflow_run')
      expect(text, file).not.toMatch(/secrets\./)
      if (!('pull_request' in workflow.on)) continue
      for (const [name, job] of Object.entries(workflow.jobs)) {
        if (job.permissions?.['id-token'] !== 'write') continue
        const guard = /head\.repo\.full_name == github\.repository|github\.event_name != 'pull_request'/
        expect(job.if, `${file}: ${name}`).toMatch(guard)
      }
    }
  })

  test('only approved jobs may apply, push or publish', () => {
    for (const { at, job } of jobs) {
      const text = JSON.stringify(job.steps ?? [])
      const takes = /apply-role|push-role|actions\/deploy-pages/.test(text)
      expect(Boolean(job.environment), at).toBe(takes)
    }
  })

  test('a checkout keeps no token, unless the job pushes', () => {
    for (const { at, step } of steps) {
      if (!step.uses?.startsWith('actions/checkout@') || at === 'release.yaml: publish') continue
      expect(step.with?.['persist-credentials'], at).toBe(false)
    }
  })
})

test('nothing from outside is put into a script: values come by the environment', () => {
  for (const { at, run } of runs) expect(run, at).not.toContain('${{')
})

describe('environments', () => {
  const described = (edits: readonly (readonly [string, string])[]) => {
    const project = temporaryProject(edits)
    const outputs = join(project, 'outputs')
    const { status, stderr } = spawnSync(process.execPath, ['infra/pipeline/main.ts', 'account'], {
      cwd: project,
      encoding: 'utf8',
      env: { ...process.env, GITHUB_OUTPUT: outputs },
    })
    expect([status, stderr]).toEqual([0, expect.any(String)])
    const lines = readFileSync(outputs, 'utf8').trim().split('\n')
    return new Map(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
  }
  const deploys = ["deploys: ['dev']", "deploys: ['dev', 'sandbox']"] as const

  test('are those of `deploys`, each with the roles of its own account and its own region', () => {
    const outputs = described([
      ["id: '000000000000'", "id: '111122223333'"],
      deploys,
      ["name: 'staging',", `name: 'sandbox', region: 'eu-west-1', ${OTHER_ACCOUNT}`],
    ])
    expect(JSON.parse(outputs.get('environments') ?? '')).toEqual([
      {
        environment: 'dev',
        region: 'eu-central-1',
        'plan-role': 'arn:aws:iam::111122223333:role/millrace-github-plan',
        'apply-role': 'arn:aws:iam::111122223333:role/millrace-github-apply-dev',
      },
      {
        environment: 'sandbox',
        region: 'eu-west-1',
        'plan-role': 'arn:aws:iam::444455556666:role/millrace-github-plan',
        'apply-role': 'arn:aws:iam::444455556666:role/millrace-github-apply-sandbox',
      },
    ])
    expect(outputs.get('names')).toBe('dev sandbox')
  })

  test('none while the account is a placeholder', () => {
    const outputs = described([])
    expect([outputs.get('environments'), outputs.get('names')]).toEqual(['[]', ''])
  })

  test('no workflow names one: each takes them from what `account` says', () => {
    for (const [file, name] of [
      ['deploy.yaml', 'plan'],
      ['deploy.yaml', 'environment'],
      ['drift.yaml', 'compare'],
    ]) {
      const job = jobs.find(({ at }) => at === `${file}: ${name}`)?.job
      expect(job?.strategy?.matrix.include, `${file}: ${name}`).toBe(
        expression('fromJSON(needs.account.outputs.environments)'),
      )
    }
    for (const { file, text } of workflows.filter(({ file: name }) => /^(deploy|drift|environment)\./.test(name))) {
      expect(text, file).not.toMatch(/\b(dev|staging|prod)\b/)
    }
  })

  test('one after the other, each after its own approval; one that fails ends the rest', () => {
    const deploy = jobs.find(({ at }) => at === 'deploy.yaml: environment')?.job
    expect(deploy?.strategy).toMatchObject({ 'fail-fast': true, 'max-parallel': 1 })
    expect(deploy?.with?.environment).toBe(expression('matrix.environment'))
    const apply = jobs.find(({ at }) => at === 'environment.yaml: apply')?.job
    expect(apply?.environment).toBe(expression('inputs.environment'))
    // A run that must plan again ends before the next environment.
    expect(apply?.steps?.at(-1)?.run).toMatch(/gh workflow run deploy\.yaml .*\n.*gh run cancel "\$GITHUB_RUN_ID"/)
  })
})

test('one deployment of an environment at a time, and no job runs for ever', () => {
  const deploy = jobs.find(({ at }) => at === 'deploy.yaml: environment')?.job
  expect(deploy?.concurrency).toBe(`deploy-${expression('matrix.environment')}`)
  for (const { at, job } of jobs) {
    if (job.uses === undefined) expect(job['timeout-minutes'], at).toBeLessThanOrEqual(90)
  }
})
