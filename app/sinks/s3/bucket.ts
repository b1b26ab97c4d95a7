/** The bucket: the requests of the s3 sink to S3, or to a compatible store. */
import { GetObjectCommand, NoSuchKey, PutObjectCommand, S3Client, S3ServiceException } from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { messageOf } from '../../errors.ts'

export interface BucketOptions {
  readonly bucket: string
  /** Empty: the region that the SDK finds (`AWS_REGION`, a profile). */
  readonly region: string
  /** Empty: AWS. Another store is addressed by path, `https://store/bucket/key`. */
  readonly endpoint: string
  /** KMS key that encrypts objects (SSE-KMS); empty: the default encryption of the bucket. */
  readonly kmsKeyId: string
  /** Timeout of one request, milliseconds. */
  readonly timeoutMs: number
}

/** A larger object is sent in parts of this size, several at the same time. */
const PART_BYTES = 16 * 1024 * 1024

/** Statuses that are about the request, and so about the object: its key, its size, its format. */
const ABOUT_THE_OBJECT = new Set([400, 405, 411, 413, 414, 422])
/** Error codes with such a status that are about credentials, address or time instead. */
const ABOUT_THE_STORE =
  /^(Authorization|Expired|InvalidAccessKey|InvalidBucket|InvalidToken|TokenRefresh|Request(Time|Expired)|SlowDown|NoSuchBucket|KMS)/

/** Whether the store will never accept this object, although it accepts others. */
export function isAboutTheObject(error: unknown): error is S3ServiceException {
  if (!(error instanceof S3ServiceException)) return false
  return ABOUT_THE_OBJECT.has(error.$metadata.httpStatusCode ?? 0) && !ABOUT_THE_STORE.test(error.name)
}

export class Bucket {
  readonly name: string
  readonly #client: S3Client
  readonly #encryption: object

  constructor({ bucket, region, endpoint, kmsKeyId, timeoutMs }: BucketOptions) {
    this.name = bucket
    this.#client = new S3Client({
      ...(region !== '' && { region }),
      ...(endpoint !== '' && { endpoint, forcePathStyle: true }),
      requestHandler: { requestTimeout: timeoutMs, throwOnRequestTimeout: true, connectionTimeout: timeoutMs },
      maxAttempts: 1, // the caller retries, without a limit
    })
    this.#encryption =
      kmsKeyId === '' ? {} : { ServerSideEncryption: 'aws:kms', SSEKMSKeyId: kmsKeyId, BucketKeyEnabled: true }
  }

  /** Resolves once the complete object exists. */
  async put(key: string, bytes: Buffer, type: string, signal: AbortSignal): Promise<void> {
    const object = this.#object(key, bytes, type)
    if (bytes.length <= PART_BYTES) {
      await this.#client.send(new PutObjectCommand(object), { abortSignal: signal })
      return
    }
    const upload = new Upload({ client: this.#client, params: object, partSize: PART_BYTES })
    const abort = () => void upload.abort()
    signal.addEventListener('abort', abort)
    try {
      await upload.done()
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  /**
   * The content of a small object; `initial` when it does not exist.
   * Without the permission to list the bucket, S3 answers 403 for a missing object, as for one that may not be read (S3
   * API, GetObject). So after a 403, this creates the object unless it exists, and reads it again. Only PutObject and
   * GetObject are needed.
   */
  async getOrPut(key: string, initial: string, signal: AbortSignal): Promise<string> {
    try {
      return (await this.#get(key, signal)) ?? initial
    } catch (error) {
      if (!isForbidden(error)) throw error
      try {
        await this.#client.send(
          new PutObjectCommand({ ...this.#object(key, Buffer.from(initial), 'application/json'), IfNoneMatch: '*' }),
          { abortSignal: signal },
        )
      } catch (putError) {
        if (isForbidden(putError)) throw denied('s3:PutObject', key, putError)
        // 412: the object exists.
        if (statusOf(putError) !== 412) throw putError
      }
      try {
        return (await this.#get(key, signal)) ?? initial
      } catch (again) {
        throw isForbidden(again) ? denied('s3:GetObject', key, again) : again
      }
    }
  }

  async #get(key: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      const { Body } = await this.#client.send(new GetObjectCommand({ Bucket: this.name, Key: key }), {
        abortSignal: signal,
      })
      return await Body?.transformToString()
    } catch (error) {
      if (error instanceof NoSuchKey) return undefined
      throw error
    }
  }

  #object(key: string, bytes: Buffer, type: string) {
    return { Bucket: this.name, Key: key, Body: bytes, ContentType: type, ...this.#encryption }
  }

  close(): void {
    this.#client.destroy()
  }
}

function statusOf(error: unknown): number | undefined {
  return error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined
}

function isForbidden(error: unknown): boolean {
  return statusOf(error) === 403
}

function denied(permission: string, key: string, cause: unknown): Error {
  return new Error(`${messageOf(cause)}: allow ${permission} on ${key}`, { cause })
}
