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
  readonly account: Account
  /** Such as `ecs-tasks.amazonaws.com`. */
  readonly service: string
  readonly statements: readonly Statement[]
}

export class ServiceRole extends Construct {
  readonly arn: string
  /** Depend on it where the permissions, not only the role, must be there. */
  readonly permissions: IamRolePolicy

  constructor(scope: Construct, id: string, { name, account, service, statements }: ServiceRoleOptions) {
    super(scope, id)
    const role = new IamRole(this, 'role', {
      name,
      assumeRolePolicy: trustedBy(service, account.id),
      permissionsBoundary: `arn:aws:iam::${account.id}:policy/${BOUNDARY_POLICY}`,
    })
    this.arn = role.arn
    this.permissions = new IamRolePolicy(this, 'policy', {
      name: 'permissions',
      role: role.id,
      policy: policy(...statements),
    })
  }
}
