/**
 * A plan between the job that made it and the job that applies it.
 *
 *     plan ─▶ s3://<state bucket>/plans/<id>/{plan.json, <stack>.tfplan, <stack>.lock.hcl} ─▶ apply
 *                                       └ sha256 of plan.json, which has the sha256 of every other file
 *
 * The id goes from job to job on a way that only the workflow writes to. Whoever could write into the bucket could not make
 * `apply` take anything else under that id. Plans may hold values of the infrastructure: the bucket is encrypted and private,
 * unlike the artifacts of a workflow, and forgets them after `SAVED_PLANS_DAYS`.
 */
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { GetObjectCommand, NoSuchKey, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { PLANS_PREFIX, stateBucketName } from '../names.ts'
import type { Place } from '../place.ts'
import { type StatePosition, TerraformError, TerraformStack } from '../terraform.ts'

export interface PlannedStack {
  readonly name: string
  /** Of what Terraform reads. */
  readonly textSha256: string
  /** At the time of the plan; absent: nothing was deployed. */
  readonly state?: StatePosition
  /** Absent: nothing to change, or `waitsFor`. */
  readonly saved?: { readonly planSha256: string; readonly lockSha256: string }
  /** It cannot be planned before this stack is applied: it reads outputs that do not exist yet, or will change. */
  readonly waitsFor?: string
}

export interface Plan {
  readonly environment: string
  /** Commit that was planned. */
  readonly commit: string
  readonly terraformVersion: string
  /** In the order they depend on each other. */
  readonly stacks: readonly PlannedStack[]
}

export const PLAN_FILE = 'millrace.tfplan'
const LOCK_FILE = '.terraform.lock.hcl'

export class PlanStore {
  readonly #client: S3Client
  readonly #bucket: string

  constructor(place: Place) {
    this.#bucket = stateBucketName(place)
    // An endpoint given by hand has no host name for each bucket.
    this.#client = new S3Client({
      region: place.stateRegion,
      forcePathStyle: process.env.AWS_ENDPOINT_URL !== undefined,
    })
  }

  /** The id. */
  async save(plan: Plan): Promise<string> {
    const manifest = JSON.stringify(plan, undefined, 2)
    const id = sha256(manifest)
    for (const { name, saved } of plan.stacks) {
      if (!saved) continue
      const { directory } = new TerraformStack(name)
      await this.#put(`${id}/${name}.tfplan`, readFileSync(join(directory, PLAN_FILE)))
      await this.#put(`${id}/${name}.lock.hcl`, readFileSync(join(directory, LOCK_FILE)))
    }
    await this.#put(`${id}/plan.json`, manifest)
    return id
  }

  async load(id: string): Promise<Plan> {
    return JSON.parse((await this.#get(`${id}/plan.json`, id)).toString('utf8'))
  }

  /** Puts the files of one stack where Terraform looks for them. */
  async restore(id: string, { name, saved }: PlannedStack): Promise<void> {
    if (!saved) return
    const { directory } = new TerraformStack(name)
    writeFileSync(join(directory, PLAN_FILE), await this.#get(`${id}/${name}.tfplan`, saved.planSha256))
    writeFileSync(join(directory, LOCK_FILE), await this.#get(`${id}/${name}.lock.hcl`, saved.lockSha256))
  }

  async #put(key: string, Body: string | Uint8Array): Promise<void> {
    await this.#client.send(new PutObjectCommand({ Bucket: this.#bucket, Key: PLANS_PREFIX + key, Body }))
  }

  async #get(key: string, expectedSha256: string): Promise<Buffer> {
    const at = `s3://${this.#bucket}/${PLANS_PREFIX}${key}`
    let bytes: Buffer
    try {
      const { Body } = await this.#client.send(new GetObjectCommand({ Bucket: this.#bucket, Key: PLANS_PREFIX + key }))
      bytes = Buffer.from((await Body?.transformToByteArray()) ?? [])
    } catch (error) {
      if (error instanceof NoSuchKey) throw new TerraformError(`${at} does not exist, or no longer: plan again`)
      throw error
    }
    if (sha256(bytes) !== expectedSha256) throw new TerraformError(`${at} is not what was saved: plan again`)
    return bytes
  }
}

/** Fingerprint of the files that `terraform plan` left in a stack's directory. */
export function fingerprint(name: string): { planSha256: string; lockSha256: string } {
  const { directory } = new TerraformStack(name)
  const of = (file: string) => sha256(readFileSync(join(directory, file)))
  return { planSha256: of(PLAN_FILE), lockSha256: of(LOCK_FILE) }
}

export function sha256(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}
