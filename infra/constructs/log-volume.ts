/** Where the embedded log of the single profile lives: a file system in every zone, one directory, one owner. */
import { EfsAccessPoint } from '@cdktf/provider-aws/lib/efs-access-point/index.js'
import { EfsBackupPolicy } from '@cdktf/provider-aws/lib/efs-backup-policy/index.js'
import { EfsFileSystem } from '@cdktf/provider-aws/lib/efs-file-system/index.js'
import { EfsFileSystemPolicy } from '@cdktf/provider-aws/lib/efs-file-system-policy/index.js'
import { EfsMountTarget } from '@cdktf/provider-aws/lib/efs-mount-target/index.js'
import { SecurityGroup } from '@cdktf/provider-aws/lib/security-group/index.js'
import { Construct } from 'constructs'
import type { Account, ExistingNetwork } from '../environment.ts'
import { policy } from '../policy.ts'

/** The user of the container image. */
export const CONTAINER_USER_ID = 1000

export interface LogVolumeOptions {
  readonly name: string
  readonly account: Account
  readonly network: ExistingNetwork
  readonly kmsKeyArn: string
  readonly protect: boolean
}

export class LogVolume extends Construct {
  readonly fileSystemId: string
  readonly fileSystemArn: string
  readonly accessPointId: string
  readonly accessPointArn: string
  readonly securityGroupId: string

  constructor(scope: Construct, id: string, { name, account, network, kmsKeyArn, protect }: LogVolumeOptions) {
    super(scope, id)
    const group = new SecurityGroup(this, 'group', {
      vpcId: network.vpcId,
      namePrefix: `${name}-log-`,
      description: 'NFS of the log, reached by the tasks',
      tags: { Name: `${name}-log` },
      lifecycle: { createBeforeDestroy: true },
    })
    this.securityGroupId = group.id
    const files = new EfsFileSystem(this, 'files', {
      encrypted: true,
      kmsKeyId: kmsKeyArn,
      throughputMode: 'elastic', // a sync never waits for burst credits
      tags: { Name: name },
      lifecycle: { preventDestroy: protect },
    })
    this.fileSystemId = files.id
    this.fileSystemArn = files.arn
    for (const [zone, subnetId] of network.privateSubnetIds.entries()) {
      new EfsMountTarget(this, `mount-${zone}`, { fileSystemId: files.id, subnetId, securityGroups: [group.id] })
    }
    new EfsBackupPolicy(this, 'backups', { fileSystemId: files.id, backupPolicy: { status: 'ENABLED' } })
    const point = new EfsAccessPoint(this, 'directory', {
      fileSystemId: files.id,
      posixUser: { uid: CONTAINER_USER_ID, gid: CONTAINER_USER_ID },
      rootDirectory: {
        path: '/millrace',
        creationInfo: { ownerUid: CONTAINER_USER_ID, ownerGid: CONTAINER_USER_ID, permissions: '0750' },
      },
      tags: { Name: name },
    })
    this.accessPointId = point.id
    this.accessPointArn = point.arn
    new EfsFileSystemPolicy(this, 'policy', {
      fileSystemId: files.id,
      policy: policy(
        {
          Sid: 'OnlyThroughTheDirectory',
          Principal: { AWS: `arn:aws:iam::${account.id}:root` },
          Action: ['elasticfilesystem:ClientMount', 'elasticfilesystem:ClientWrite'],
          Resource: files.arn,
          Condition: { StringEquals: { 'elasticfilesystem:AccessPointArn': point.arn } },
        },
        {
          Sid: 'OnlyOverTls',
          Effect: 'Deny',
          Principal: { AWS: '*' },
          Action: ['elasticfilesystem:ClientMount', 'elasticfilesystem:ClientWrite'],
          Resource: files.arn,
          Condition: { Bool: { 'aws:SecureTransport': 'false' } },
        },
      ),
    })
  }
}
