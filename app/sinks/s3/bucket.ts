/** The bucket: what the s3 sink asks of S3, or of a store that speaks its protocol. */
import { GetObjectCommand, NoSuchKey, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'

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
    const object = { Bucket: this.name, Key: key, Body: bytes, ContentType: type, ...this.#encryption }
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

  /** The whole of a small object; undefined when there is none. */
  async get(key: string, signal: AbortSignal): Promise<string | undefined> {
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

  close(): void {
    this.#client.destroy()
  }
}
