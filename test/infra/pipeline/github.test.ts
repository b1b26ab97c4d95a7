/** Against a server that keeps comments and issues as GitHub's REST API does; GitHub itself cannot be had in a test. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Github, GithubError } from '../../../infra/pipeline/github.ts'

interface Item {
  id: number
  number: number
  body: string
  state: string
  title?: string
  pull_request?: object
}

const MARK = '<!-- mark -->'
let server: Server
let github: Github
let comments: Item[]
let issues: Item[]
let calls: string[]
/** What the repository says of each of its environments. */
let rules: Record<string, object>

beforeEach(async () => {
  comments = []
  issues = []
  calls = []
  rules = {}
  server = createServer(async (request, response) => {
    calls.push(`${request.method} ${request.url}`)
    let text = ''
    for await (const chunk of request) text += chunk
    const answer = (status: number, body: unknown) => response.writeHead(status).end(JSON.stringify(body))
    if (request.headers.authorization !== 'Bearer token') return answer(401, { message: 'Bad credentials' })
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://github')
    const path = pathname.replace('/repos/owner/name', '')
    if (path.startsWith('/environments/')) {
      const found = rules[path.split('/').at(-1) ?? '']
      return found ? answer(200, found) : answer(404, { message: 'Not Found' })
    }
    const items = path.includes('comments') ? comments : issues
    if (request.method === 'GET') {
      const [size, page] = [Number(searchParams.get('per_page')), Number(searchParams.get('page'))]
      const open = items.filter(({ state }) => state === (searchParams.get('state') ?? 'open'))
      return answer(200, open.slice((page - 1) * size, page * size))
    }
    const content = JSON.parse(text)
    if (content.body?.length > 65_536) return answer(422, { message: 'body is too long' })
    if (request.method === 'POST') {
      const number = items.length + 1
      items.push({ id: number, number, state: 'open', ...content })
      return answer(201, items.at(-1))
    }
    const found = items.find(({ number }) => path.endsWith(`/${number}`))
    if (!found) return answer(404, { message: 'Not Found' })
    return answer(200, Object.assign(found, content))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  github = new Github(environment())
})
afterEach(() => server.close())

function environment(): NodeJS.ProcessEnv {
  const { port } = server.address() as AddressInfo
  return { GITHUB_TOKEN: 'token', GITHUB_REPOSITORY: 'owner/name', GITHUB_API_URL: `http://127.0.0.1:${port}` }
}
const others = (count: number) =>
  Array.from({ length: count }, (_, at) => ({ id: at + 1, number: at + 1, body: `other ${at}`, state: 'open' }))

test('a pull request keeps one comment, however often it is planned', async () => {
  comments.push(...others(150)) // more than a page
  for (const text of ['first', 'second', 'third']) await github.comment(7, MARK, text)
  expect(comments).toHaveLength(151)
  expect(comments.at(-1)?.body).toBe(`${MARK}\nthird`)
  expect(calls.filter((call) => call.startsWith('POST'))).toEqual(['POST /repos/owner/name/issues/7/comments'])
})

test('a plan too long for GitHub is cut, and says where the rest is', async () => {
  await github.comment(7, MARK, 'x'.repeat(100_000))
  expect(comments[0]?.body).toHaveLength(65_536)
  expect(comments[0]?.body).toMatch(/the rest is in the log of the workflow\.$/)
})

test('drift opens one issue, keeps it up to date, and closes it when it is gone', async () => {
  issues.push(...others(3), { id: 4, number: 4, body: `${MARK}\nof a pull request`, state: 'open', pull_request: {} })
  await github.issue(MARK, 'Drift', 'one thing')
  await github.issue(MARK, 'Drift', 'two things')
  expect(issues.slice(4)).toEqual([
    expect.objectContaining({ title: 'Drift', body: `${MARK}\ntwo things`, state: 'open' }),
  ])
  await github.issue(MARK, 'Drift', undefined)
  expect(issues[4]?.state).toBe('closed')
  await github.issue(MARK, 'Drift', undefined)
  await github.issue(MARK, 'Drift', 'again')
  expect(issues.filter(({ title }) => title === 'Drift')).toHaveLength(2)
  expect(issues[3]?.state).toBe('open')
})

test('what GitHub refuses is an error that names the call and what to check', async () => {
  const stranger = new Github({ ...environment(), GITHUB_TOKEN: 'wrong' })
  await expect(stranger.comment(7, MARK, 'text')).rejects.toThrow(
    /GitHub answered 401 to GET \/issues\/7\/comments.*: check the permissions of the job/,
  )
  expect(() => new Github({})).toThrow(GithubError)
})

test('an environment that nobody approves, or that any branch may deploy to, is not applied', async () => {
  const reviewed = { type: 'required_reviewers', reviewers: [{ type: 'User' }] }
  const fromMain = { protected_branches: false, custom_branch_policies: true }
  rules = {
    open: { protection_rules: [], deployment_branch_policy: null },
    unreviewed: { protection_rules: [{ type: 'branch_policy' }], deployment_branch_policy: fromMain },
    nobody: { protection_rules: [{ ...reviewed, reviewers: [] }], deployment_branch_policy: fromMain },
    anywhere: { protection_rules: [reviewed], deployment_branch_policy: null },
    guarded: { protection_rules: [reviewed, { type: 'branch_policy' }], deployment_branch_policy: fromMain },
  }
  const refusal = (name: string) =>
    github.requireApproval(name).then(
      () => 'none',
      (error: Error) => error.message,
    )
  expect(await refusal('guarded')).toBe('none')
  expect(await refusal('open')).toMatch(
    /^the environment open .* has no required reviewers and no rule for its branches: /,
  )
  expect(await refusal('unreviewed')).toMatch(/has no required reviewers: nothing is applied\. Set them in Settings/)
  expect(await refusal('nobody')).toMatch(/has no required reviewers: /)
  expect(await refusal('anywhere')).toMatch(/has no rule for its branches: /)
  expect(await refusal('unknown')).toMatch(/GitHub answered 404 to GET \/environments\/unknown/)
})
