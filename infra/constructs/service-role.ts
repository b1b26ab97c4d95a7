/** A role that one AWS service takes on, for this account alone, within the boundary that bootstrap sets. */
import { IamRole } from '@cdktf/provider-aws/lib/iam-role/index.js'
import { IamRolePolicy } from '@cdktf/provider-aws/lib/iam-role-policy/index.js'
import { Construct } from 'constructs'
import type { Account } from '../environment.ts'
import { policy, type Statement, trustedBy } from '../policy.ts'

export const BOUNDARY_POLICY = 'millrace-boundary'

export interface ServiceRoleOptions {
  /** Begins with `millrace-`: the apply role may make no other. */
  readonly name: string
  readonly account: Pick<Account, 'id'>
  /** Such as `ecs-tasks.amazonaws.com`. */
  readonly service: string
  readonly statements: readonly Statement[]
  /** Default: `bootstrap`, the policy that it makes. */
  readonly permissionsBoundary?: 'bootstrap' | 'none'
}

export class ServiceRole extends Construct {
  readonly arn: string
  /** Depend on it where the permissions, not only the role, must be there. */
  readonly permissions: IamRolePolicy

  constructor(scope: Construct, id: string, options: ServiceRoleOptions) {
    super(scope, id)
    const { name, account, service, statements, permissionsBoundary = 'bootstrap' } = options
    const role = new IamRole(this, 'role', {
      name,
      assumeRolePolicy: trustedBy(service, account.id),
      ...(permissionsBoundary === 'bootstrap' && {
        permissionsBoundary: `arn:aws:iam::${account.id}:policy/${BOUNDARY_POLICY}`,
      }),
    })
    this.arn = role.arn
    this.permissions = new IamRolePolicy(this, 'policy', {
      name: 'permissions',
      role: role.id,
      policy: policy(...statements),
    })
  }
}
