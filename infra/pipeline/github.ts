/**
 * The one comment of a pull request and the one issue about drift, found again by a mark in their text; and how the repository
 * guards an environment. GitHub's REST API, with what a workflow has in its environment: GITHUB_TOKEN, GITHUB_REPOSITORY and
 * GITHUB_API_URL.
 * https://docs.github.com/rest/issues, https://docs.github.com/rest/deployments/environments
 */
export class GithubError extends Error {}

interface Issue {
  readonly number: number
  readonly body: string | null
  readonly pull_request?: unknown
}
interface Comment {
  readonly id: number
  readonly body: string
}

interface EnvironmentRules {
  readonly protection_rules?: readonly { readonly type: string; readonly reviewers?: readonly unknown[] }[]
  /** null: any branch may deploy. */
  readonly deployment_branch_policy?: object | null
}

/** What GitHub takes as a text. Characters. */
const LONGEST_BODY = 65_536
const PAGE = 100

export class Github {
  readonly #token: string
  readonly #repository: string

  constructor(environment: NodeJS.ProcessEnv = process.env) {
    const { GITHUB_TOKEN: token, GITHUB_REPOSITORY: repository, GITHUB_API_URL: url } = environment
    if (!token || !repository) {
      throw new GithubError('GITHUB_TOKEN and GITHUB_REPOSITORY (owner/name) are needed, as a workflow has them')
    }
    this.#token = token
    this.#repository = `${url ?? 'https://api.github.com'}/repos/${repository}`
  }

  /** Writes the comment that begins with the mark, or changes it: a pull request has one, however often it is planned. */
  async comment(pullRequest: number, mark: string, text: string): Promise<void> {
    const body = bounded(mark, text)
    for await (const { id, body: known } of this.#pages<Comment>(`/issues/${pullRequest}/comments`)) {
      if (known.startsWith(mark)) return void (await this.#call('PATCH', `/issues/comments/${id}`, { body }))
    }
    await this.#call('POST', `/issues/${pullRequest}/comments`, { body })
  }

  /** Opens the issue that begins with the mark, or brings the open one up to date; without a text it is closed. */
  async issue(mark: string, title: string, text: string | undefined): Promise<void> {
    let open: Issue | undefined
    for await (const issue of this.#pages<Issue>('/issues?state=open')) {
      if (issue.pull_request === undefined && issue.body?.startsWith(mark)) open = issue
    }
    if (text !== undefined) {
      const content = { title, body: bounded(mark, text) }
      await (open ? this.#call('PATCH', `/issues/${open.number}`, content) : this.#call('POST', '/issues', content))
    } else if (open) {
      await this.#call('PATCH', `/issues/${open.number}`, { state: 'closed', state_reason: 'completed' })
    }
  }

  /**
   * Nothing is applied in an environment that anybody, or any branch, may deploy to.
   * @throws GithubError that says which rule is missing, and where it is set.
   */
  async requireApproval(environment: string): Promise<void> {
    const { protection_rules: rules = [], deployment_branch_policy: branches } = (await this.#call(
      'GET',
      `/environments/${environment}`,
    )) as EnvironmentRules
    const hasReviewers = rules.some(({ type, reviewers = [] }) => type === 'required_reviewers' && reviewers.length > 0)
    const missing = [...(hasReviewers ? [] : ['required reviewers']), ...(branches ? [] : ['rule for its branches'])]
    if (missing.length === 0) return
    throw new GithubError(
      `the environment ${environment} of this repository has no ${missing.join(' and no ')}: nothing is applied. ` +
        `Set them in Settings → Environments → ${environment}: reviewers who approve, and main as the only branch`,
    )
  }

  async *#pages<T>(path: string): AsyncGenerator<T> {
    for (let page = 1; ; page++) {
      const separator = path.includes('?') ? '&' : '?'
      const items = (await this.#call('GET', `${path}${separator}per_page=${PAGE}&page=${page}`)) as T[]
      yield* items
      if (items.length < PAGE) return
    }
  }

  async #call(method: string, path: string, body?: object): Promise<unknown> {
    const response = await fetch(this.#repository + path, {
      method,
      headers: {
        accept: 'application/vnd.github+json',
        authorization: `Bearer ${this.#token}`,
        'x-github-api-version': '2022-11-28',
      },
      ...(body && { body: JSON.stringify(body) }),
    })
    if (!response.ok) {
      throw new GithubError(
        `GitHub answered ${response.status} to ${method} ${path}: check the permissions of the job (${await response.text()})`,
      )
    }
    return response.json()
  }
}

function bounded(mark: string, text: string): string {
  const whole = `${mark}\n${text}`
  const ending = '\n\n… too long for GitHub; the rest is in the log of the workflow.'
  return whole.length <= LONGEST_BODY ? whole : whole.slice(0, LONGEST_BODY - ending.length) + ending
}
