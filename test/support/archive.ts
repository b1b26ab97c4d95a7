/** What a task has written into the archive bucket of its environment. */
import { gunzipSync } from 'node:zlib'
import { GetObjectCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import { until } from './service.ts'

export interface Archived {
  readonly key: string
  /** How the object is encrypted. */
  readonly encryption: string | undefined
  readonly event: unknown
}

/** Waits until the bucket has an object with events, and reads the one event in it. `look` says why there is none yet. */
export async function archivedEvent(
  { endpoint, region, bucket }: { endpoint: string; region: string; bucket: string },
  look: () => string,
): Promise<Archived> {
  const credentials = { accessKeyId: 'emulated', secretAccessKey: 'emulated' } // of the administrator
  const s3 = new S3Client({ endpoint, region, forcePathStyle: true, credentials })
  let key: string | undefined
  const arrived = async () => {
    const list = await s3.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: 'events/type=' }))
    key = list.Contents?.[0]?.Key
    return key !== undefined
  }
  await until(arrived, 30_000, `the event in the archive: ${look()}`)
  const object = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
  const bytes = await object.Body?.transformToByteArray()
  const event: unknown = JSON.parse(String(gunzipSync(bytes ?? Buffer.of())))
  return { key: key ?? '', encryption: object.ServerSideEncryption, event }
}
