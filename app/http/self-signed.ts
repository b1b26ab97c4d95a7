/**
 * A certificate that nobody has to manage, for a load balancer that encrypts the way to this service and does not look at
 * its certificate (`TLS_SELF_SIGNED`). The key is made at each start and never leaves the memory of the process.
 *
 *     Certificate = SEQUENCE { TBSCertificate, algorithm, signature }                     RFC 5280, section 4.1, in DER:
 *     a value     = tag, length, content                                                  X.690, section 8.1
 */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import type { TlsFiles } from './tls.ts'

/** Longer than any process runs. */
const VALID_YEARS = 10
/** A clock may be behind that of this machine. */
const VALID_BEFORE_MS = 24 * 60 * 60 * 1000
const SERIAL_BYTES = 16
/** Before it, a time has two digits for its year (RFC 5280, section 4.1.2.5). */
const FIRST_LONG_YEAR = 2050

const Tag = {
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  OBJECT_IDENTIFIER: 0x06,
  UTF8_STRING: 0x0c,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
  SEQUENCE: 0x30,
  SET: 0x31,
  /** Of TBSCertificate: `[0] EXPLICIT version`, `[3] EXPLICIT extensions`. */
  VERSION: 0xa0,
  EXTENSIONS: 0xa3,
  /** Of a GeneralName. */
  DNS_NAME: 0x82,
  IP_ADDRESS: 0x87,
} as const

const VERSION_3 = Buffer.from([2])
const ECDSA_WITH_SHA256 = der(Tag.SEQUENCE, der(Tag.OBJECT_IDENTIFIER, Buffer.from('2a8648ce3d040302', 'hex')))
const COMMON_NAME = der(Tag.OBJECT_IDENTIFIER, Buffer.from('550403', 'hex'))
const SUBJECT_ALT_NAME = der(Tag.OBJECT_IDENTIFIER, Buffer.from('551d11', 'hex'))
const LOCALHOST = [der(Tag.DNS_NAME, Buffer.from('localhost')), der(Tag.IP_ADDRESS, Buffer.from([127, 0, 0, 1]))]

/** A key on P-256 and its own certificate for `localhost`, valid for ten years. Takes a millisecond. */
export function selfSigned(now: Date = new Date()): TlsFiles {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = nameOf('millrace')
  const certificate = der(
    Tag.SEQUENCE,
    der(Tag.VERSION, der(Tag.INTEGER, VERSION_3)),
    der(Tag.INTEGER, serial()),
    ECDSA_WITH_SHA256,
    name,
    validity(now),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(Tag.EXTENSIONS, der(Tag.SEQUENCE, alternativeNames())),
  )
  const signature = sign('sha256', certificate, privateKey)
  const signed = der(Tag.SEQUENCE, certificate, ECDSA_WITH_SHA256, bitString(signature))
  return {
    cert: pemOf(signed),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    clientCa: undefined,
  }
}

function nameOf(commonName: string): Buffer {
  const attribute = der(Tag.SEQUENCE, COMMON_NAME, der(Tag.UTF8_STRING, Buffer.from(commonName)))
  return der(Tag.SEQUENCE, der(Tag.SET, attribute))
}

/** Positive, and not zero. */
function serial(): Buffer {
  const bytes = randomBytes(SERIAL_BYTES)
  bytes[0] = 0x40 | ((bytes[0] as number) & 0x3f)
  return bytes
}

function validity(now: Date): Buffer {
  const end = new Date(now)
  end.setUTCFullYear(now.getUTCFullYear() + VALID_YEARS)
  return der(Tag.SEQUENCE, time(new Date(now.getTime() - VALID_BEFORE_MS)), time(end))
}

function time(at: Date): Buffer {
  const text = `${at.toISOString().replaceAll(/[-T:]|\.\d+/g, '')}` // 20260131120000Z
  if (at.getUTCFullYear() >= FIRST_LONG_YEAR) return der(Tag.GENERALIZED_TIME, Buffer.from(text))
  return der(Tag.UTC_TIME, Buffer.from(text.slice(2)))
}

function alternativeNames(): Buffer {
  return der(Tag.SEQUENCE, SUBJECT_ALT_NAME, der(Tag.OCTET_STRING, der(Tag.SEQUENCE, ...LOCALHOST)))
}

/** All bits of the last byte are used. */
function bitString(bytes: Buffer): Buffer {
  return der(Tag.BIT_STRING, Buffer.from([0]), bytes)
}

function der(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const bytes = content.reduce((sum, { length }) => sum + length, 0)
  const length = bytes < 0x80 ? [bytes] : bytes < 0x100 ? [0x81, bytes] : [0x82, bytes >> 8, bytes & 0xff]
  return Buffer.concat([Buffer.from([tag, ...length]), ...content])
}

/** RFC 7468, section 2: 64 characters a line. */
function pemOf(certificate: Buffer): string {
  const lines = certificate.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}
