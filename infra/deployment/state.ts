/**
 * How far a deployment has come, from what the state bucket holds. Bootstrap makes that bucket, so its own state begins in a file:
 *
 *     nothing ─▶ file beside cdktf.json ─▶ bucket, and the file is removed
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { GetObjectCommand, S3Client } from '@aws-sdk/client-s3'
import type { Environment } from '../environment.ts'
import { bootstrapName, servicesOf, stateBucketName } from '../names.ts'
import type { Place } from '../place.ts'
import { TerraformError, TerraformStack } from '../terraform.ts'

interface State {
  readonly outputs: object
  readonly resources: readonly { readonly type: string; readonly instances: readonly StateInstance[] }[]
}

interface StateInstance {
  /** `tainted`: it was not made to its end. */
  readonly status?: string
  readonly attributes?: { readonly name?: string }
}

/** `lost`: the bucket is there, and neither it nor this directory has the state of bootstrap. */
export type BootstrapState = 'none' | 'file' | 'bucket' | 'lost'

export async function bootstrapState(place: Place): Promise<BootstrapState> {
  const name = bootstrapName(place)
  const found = await stateOf(place, name)
  if (typeof found === 'object') return 'bucket'
  if (existsSync(fileOf(name))) return 'file'
  return found === 'no bucket' ? 'none' : 'lost'
}

/** Whether its services were all made once; they come last. Other services than it has now: it was another profile, and complete. */
export async function isComplete(place: Place, environment: Environment): Promise<boolean> {
  const state = await stateOf(place, `${environment.name}-service`)
  if (typeof state !== 'object') return false
  const made = state.resources
    .filter(({ type }) => type === 'aws_ecs_service')
    .flatMap(({ instances }) => instances)
    .filter(({ status }) => status !== 'tainted')
    .map(({ attributes }) => attributes?.name ?? '')
  const wanted: readonly string[] = servicesOf(environment).map(({ role }) => role)
  return wanted.every((role) => made.includes(role)) || made.some((role) => !wanted.includes(role))
}

/** Bootstrap with its state in the file, until `toBucket` moves it. The directory of the stack says where it is. */
export class FileState {
  readonly #stack: TerraformStack
  readonly #place: Place

  constructor(place: Place) {
    this.#place = place
    this.#stack = new TerraformStack(bootstrapName(place))
  }

  /** From now on, Terraform keeps the state in the file. What is in the bucket is brought along. */
  async use(where: BootstrapState): Promise<void> {
    if (where === 'bucket') await this.#stack.init('-reconfigure')
    // Terraform merges it: https://developer.hashicorp.com/terraform/language/files/override
    const path = `../../../${fileName(this.#stack.name)}`
    writeFileSync(this.#override, JSON.stringify({ terraform: { backend: { local: { path } } } }))
    await this.#stack.init(...(where === 'bucket' ? MOVE : ['-reconfigure']))
  }

  /** Moves the state into the bucket, and removes the file once the bucket has all of it. */
  async toBucket(): Promise<void> {
    await this.#stack.init('-reconfigure')
    rmSync(this.#override, { force: true })
    await this.#stack.init(...MOVE)
    await this.removeFile()
  }

  /** @throws TerraformError where the bucket has another content; a state that moves gets another lineage and serial. */
  async removeFile(): Promise<void> {
    const file = fileOf(this.#stack.name)
    if (!existsSync(file)) return
    const kept = await stateOf(this.#place, this.#stack.name)
    const text = readFileSync(file, 'utf8')
    if (text !== '' && !(typeof kept === 'object' && hasSameContent(kept, JSON.parse(text)))) {
      throw new TerraformError(
        `${fileName(this.#stack.name)} and the state bucket have different states of ${this.#stack.name}: ` +
          'keep the file, look at both, and remove the one that is wrong',
      )
    }
    this.forget()
  }

  /** The file, and that Terraform uses it. */
  forget(): void {
    const file = fileOf(this.#stack.name)
    for (const path of [this.#override, file, `${file}.backup`]) rmSync(path, { force: true })
  }

  get #override(): string {
    return join(this.#stack.directory, 'backend_override.tf.json')
  }
}

const MOVE = ['-migrate-state', '-force-copy'] as const

/** @throws TerraformError that says what to do where AWS does not answer. */
async function stateOf(place: Place, stack: string): Promise<State | 'no bucket' | 'no state'> {
  const Bucket = stateBucketName(place)
  const client = new S3Client({
    region: place.stateRegion,
    forcePathStyle: process.env.AWS_ENDPOINT_URL !== undefined, // an endpoint given by hand has no host name for each bucket
  })
  try {
    const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: `${stack}.tfstate` }))
    return JSON.parse((await Body?.transformToString()) ?? '')
  } catch (error) {
    const { name, message } = error as Error
    if (name === 'NoSuchBucket') return 'no bucket'
    if (name === 'NoSuchKey') return 'no state'
    throw new TerraformError(
      `s3://${Bucket}/${stack}.tfstate cannot be read (${name}: ${message}): ` +
        'use credentials that may read it, such as those of an administrator of the account',
    )
  }
}

function hasSameContent(one: State, other: State): boolean {
  return isDeepStrictEqual([one.outputs, one.resources], [other.outputs, other.resources])
}

function fileName(stack: string): string {
  return `terraform.${stack}.tfstate`
}

function fileOf(stack: string): string {
  return resolve(fileName(stack))
}
