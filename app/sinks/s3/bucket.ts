/** The bucket: what the s3 sink asks of S3, or of a store that speaks its protocol. */
import { GetObjectCommand, NoSuchKey, PutObjectCommand, S3Client, S3ServiceException } from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { messageOf } from '../../errors.ts'

export interface BucketOptions {
  readonly bucket: string
  /** Empty: what the SDK finds (`AWS_REGION`, a profile). */
  readonly region: string
  /** Empty: AWS. Another store is addressed by path, `https://store/bucket/key`. */
  readonly endpoint: string
  /** Key that objects are encrypted with (SSE-KMS); empty: as the bucket does it by default. */
  readonly kmsKeyId: string
  /** Time for one request, milliseconds. */
  readonly timeoutMs: number
}

/** Above this an object is sent in parts of this size, several at once. */
const PART_BYTES = 16 * 1024 * 1024

/** Statuses that say something of the request, and so of the object: its key, its size, its form. */
const ABOUT_THE_OBJECT = new Set([400, 405, 411, 413, 414, 422])
/** Of those with such a status, what is about who asks, where, and when. */
const ABOUT_THE_STORE =
  /^(Authorization|Expired|InvalidAccessKey|InvalidBucket|InvalidToken|TokenRefresh|Request(Time|Expired)|SlowDown|NoSuchBucket|KMS)/

/** Whether the store can never take this object, whatever else it takes. */
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
      maxAttempts: 1, // who calls tries again, for as long as it takes
    })
    this.#encryption =
      kmsKeyId === '' ? {} : { ServerSideEncryption: 'aws:kms', SSEKMSKeyId: kmsKeyId, BucketKeyEnabled: true }
  }

  /** Resolves once the object exists, whole. */
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
   * The whole of a small object; `initial` when there is none, and then that is written.
   * Who may not list a bucket gets 403 for an object that is not there, as for one that may not be read (S3 API, GetObject). So
   * it is made, unless it is there, and read again: that needs PutObject and GetObject, and nothing else.
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
        // It is there.
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
