/**
 * The stacks of this version over what 0.1.0 and later ones have deployed: real plans, by the state that each has left. Nothing is
 * deployed here, so a plan does not look at AWS again (`-refresh=false`) but for the states of other stacks, which are in a bucket.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EmulatedAws, missing, startEmulatedAws } from '../support/emulated-aws.ts'
import { lostIn, STATE_VERSIONS, type StackState, statesOf } from '../support/stack-state.ts'
import { DEPLOYABLE, EMULATED_ACCOUNT, editedProject } from '../support/synth.ts'

const REGION = 'eu-central-1'
const BUCKET = `millrace-state-${EMULATED_ACCOUNT}-${REGION}`
const reason = missing()

describe.skipIf(reason).each(STATE_VERSIONS)(
  `the stacks over a state of %s${reason ? ` (left out: ${reason})` : ''}`,
  (version) => {
    const states = reason ? [] : statesOf(version)
    let aws: EmulatedAws
    let project: string

    beforeAll(async () => {
      aws = await startEmulatedAws()
      project = editedProject(DEPLOYABLE)
      const credentials = { accessKeyId: 'emulated', secretAccessKey: 'emulated' } // of the administrator
      const s3 = new S3Client({ endpoint: aws.gate.url, region: REGION, forcePathStyle: true, credentials })
      await s3.send(
        new CreateBucketCommand({ Bucket: BUCKET, CreateBucketConfiguration: { LocationConstraint: REGION } }),
      )
      for (const { stack, text } of states) {
        if (stack === 'bootstrap') writeFileSync(join(project, `terraform.${stack}.tfstate`), text)
        else await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: `${stack}.tfstate`, Body: text }))
      }
      await succeed('npm', 'run', '--silent', 'synth')
    }, 300_000)
    afterAll(async () => {
      await aws?.stop()
      if (project) rmSync(project, { recursive: true, force: true })
    })

    async function succeed(command: string, ...args: string[]): Promise<string> {
      const { code, stdout, output } = await aws.run(project, command, ...args)
      expect(code, `${command} ${args.join(' ')}: ${output.slice(-4000)}`).toBe(0)
      return stdout
    }

    /** What holds data and would be lost; all other changes are printed. */
    async function lostOf({ stack, dataAddresses }: StackState): Promise<string[]> {
      const terraform = (...args: string[]) => succeed('terraform', `-chdir=cdktf.out/stacks/${stack}`, ...args)
      await terraform('init', '-input=false', '-no-color')
      await terraform('plan', '-input=false', '-no-color', '-refresh=false', '-lock=false', '-out=plan')
      const plan = JSON.parse(await terraform('show', '-json', 'plan'))
      const changes = plan.resource_changes?.filter(
        ({ mode, change }: { mode: string; change: { actions: string[] } }) =>
          mode === 'managed' && change.actions.join() !== 'no-op',
      )
      console.error(`${stack.padEnd(20)} ${dataAddresses.length} hold data; ${changes?.length ?? 0} resources change`)
      return lostIn(plan, dataAddresses)
    }

    test.each(states)('$stack: nothing that holds data is destroyed, replaced or forgotten', async (state) => {
      expect(await lostOf(state)).toEqual([])
    })

    test('a change that would replace the disk of the log, and one that gives a bucket another address, are found', async () => {
      const foundation = states.find(({ stack }) => stack === 'dev-foundation') as StackState
      const path = join(project, 'cdktf.out/stacks/dev-foundation/cdk.tf.json')
      const stack = JSON.parse(readFileSync(path, 'utf8'))
      const [disk = ''] = Object.keys(stack.resource.aws_efs_file_system)
      const [directory = ''] = Object.keys(stack.resource.aws_efs_access_point)
      const [bucket = ''] = Object.keys(stack.resource.aws_s3_bucket)
      stack.resource.aws_efs_file_system[disk].performance_mode = 'maxIO'
      const text = JSON.stringify(stack).replaceAll(bucket, `${bucket}_again`)
      writeFileSync(path, text)
      expect(await lostOf(foundation)).toEqual([
        `aws_efs_access_point.${directory}`, // it is on that disk
        `aws_efs_file_system.${disk}`,
        `aws_s3_bucket.${bucket}`,
      ])
    })
  },
)
