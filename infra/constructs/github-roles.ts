/**
 * What GitHub Actions may do, without a stored key: OpenID Connect, and one role for each step.
 *
 *     pull request, main ─▶ plan role: reads, saves plans    main, after approval ─▶ apply role: changes one environment
 *     release      ─▶ push role: one image repository
 *
 * Source of the subjects: https://docs.github.com/actions/security-for-github-actions/security-hardening-your-deployments/about-security-hardening-with-openid-connect
 * The statements of each are in github-policies.ts.
 */
import { IamOpenidConnectProvider } from '@cdktf/provider-aws/lib/iam-openid-connect-provider/index.js'
import { IamPolicy } from '@cdktf/provider-aws/lib/iam-policy/index.js'
import { IamRole } from '@cdktf/provider-aws/lib/iam-role/index.js'
import { IamRolePolicy } from '@cdktf/provider-aws/lib/iam-role-policy/index.js'
import { IamRolePolicyAttachment } from '@cdktf/provider-aws/lib/iam-role-policy-attachment/index.js'
import { Construct } from 'constructs'
import type { Account, Environment } from '../environment.ts'
import { githubRoleName, type PipelineRole } from '../names.ts'
import { policy } from '../policy.ts'
import {
  BOUNDARY,
  boundedRoleStatements,
  otherEnvironmentStatements,
  pipelineStatements,
  pushStatements,
  refreshStatements,
  type State,
  stateStatements,
} from './github-policies.ts'
import { BOUNDARY_POLICY } from './service-role.ts'

export interface GithubRolesOptions extends State {
  readonly account: Account
  readonly environments: readonly Environment['name'][]
  /** Of the images; undefined where they are in another account. */
  readonly repositoryArn: string | undefined
}

export const GITHUB_ISSUER = 'token.actions.githubusercontent.com'
const AUDIENCE = 'sts.amazonaws.com'
const MAX_SESSION_SECONDS = 2 * 60 * 60

export class GithubRoles extends Construct {
  readonly planRoleArn: string
  /** By environment. */
  readonly applyRoleArns: ReadonlyMap<string, string>
  /** Undefined where images are in another account. */
  readonly pushRoleArn: string | undefined
  readonly #account: Account
  readonly #providerArn: string

  constructor(scope: Construct, id: string, options: GithubRolesOptions) {
    super(scope, id)
    this.#account = options.account
    this.#providerArn = this.#provider()
    this.planRoleArn = this.#plan(options)
    this.applyRoleArns = this.#apply(options)
    this.pushRoleArn = this.#push(options)
  }

  /** The one of the account: a second one cannot be made. */
  #provider(): string {
    const { id, github } = this.#account
    if (github.oidcProvider === 'existing') return `arn:aws:iam::${id}:oidc-provider/${GITHUB_ISSUER}`
    return new IamOpenidConnectProvider(this, 'provider', { url: `https://${GITHUB_ISSUER}`, clientIdList: [AUDIENCE] })
      .arn
  }

  /** Terraform refreshes every resource it manages; reading is all this can do, and no data: not objects, not secrets. */
  #plan(state: State): string {
    const role = this.#role('plan', ['pull_request', 'ref:refs/heads/main'])
    new IamRolePolicyAttachment(this, 'plan-reads', {
      role: role.name,
      policyArn: 'arn:aws:iam::aws:policy/job-function/ViewOnlyAccess',
    })
    new IamRolePolicy(this, 'plan-state', { role: role.id, policy: policy(...stateStatements(state)) })
    new IamRolePolicy(this, 'plan-refresh', {
      role: role.id,
      policy: policy(...refreshStatements(this.#account)),
    })
    return role.arn
  }

  /**
   * Everything but IAM, organisations and the account itself, and nothing of another environment; of IAM, roles of its
   * own environment alone.
   */
  #apply({ environments, ...state }: GithubRolesOptions): ReadonlyMap<string, string> {
    const boundary = new IamPolicy(this, 'boundary', {
      name: BOUNDARY_POLICY,
      description: 'The most that any role made by an apply role can ever do',
      policy: policy(...BOUNDARY),
    })
    const roles = environments.map((name): [string, string] => {
      const role = this.#role(`apply-${name}`, [`environment:${name}`])
      new IamRolePolicyAttachment(this, `apply-${name}-services`, {
        role: role.name,
        policyArn: 'arn:aws:iam::aws:policy/PowerUserAccess',
      })
      const others = environments.filter((other) => other !== name)
      new IamRolePolicy(this, `apply-${name}-limits`, {
        role: role.id,
        policy: policy(
          ...boundedRoleStatements(this.#account, boundary.arn, name),
          ...pipelineStatements(this.#account, environments),
          ...otherEnvironmentStatements(state, others),
        ),
      })
      return [name, role.arn]
    })
    return new Map(roles)
  }

  #push({ repositoryArn, stateKeyArn }: GithubRolesOptions): string | undefined {
    if (repositoryArn === undefined) return undefined
    const role = this.#role('push', ['environment:release'])
    new IamRolePolicy(this, 'push-images', {
      role: role.id,
      policy: policy(...pushStatements(repositoryArn, stateKeyArn)),
    })
    return role.arn
  }

  /** A role for workflows of our repository in one of the given situations, both forms of the subject taken exactly. */
  #role(name: PipelineRole, situations: readonly string[]): IamRole {
    const { owner, repository, ownerId, repositoryId } = this.#account.github
    const repositories = [`${owner}/${repository}`]
    if (ownerId !== undefined) repositories.push(`${owner}@${ownerId}/${repository}@${repositoryId}`)
    const subjects = situations.flatMap((situation) => repositories.map((full) => `repo:${full}:${situation}`))
    return new IamRole(this, name, {
      name: githubRoleName(name),
      description: `GitHub Actions of ${owner}/${repository}: ${name}`,
      maxSessionDuration: MAX_SESSION_SECONDS,
      assumeRolePolicy: JSON.stringify({
        Version: '2012-10-17',
        Statement: [
          {
            Effect: 'Allow',
            Principal: { Federated: this.#providerArn },
            Action: 'sts:AssumeRoleWithWebIdentity',
            Condition: { StringEquals: { [`${GITHUB_ISSUER}:aud`]: AUDIENCE, [`${GITHUB_ISSUER}:sub`]: subjects } },
          },
        ],
      }),
    })
  }
}
