/**
 * TLS of the public listener (RFC 8446; 1.2 is accepted as well, RFC 9325): its certificate, its private key, and the
 * authorities whose client certificates are accepted. All are checked together before use: files that pass can be
 * served.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { createSecureContext, type SecureContextOptions } from 'node:tls'
import type { Config } from '../config.ts'
import { messageOf, systemCode } from '../errors.ts'
import { invalid } from '../variable.ts'

/** As PEM (RFC 7468), so that it can be sent to a thread. */
export interface TlsFiles {
  /** The certificate of this service first, then those that lead to an authority. */
  readonly cert: string
  readonly key: string
  /** If set, each client needs a certificate signed by one of these authorities. */
  readonly clientCa: string | undefined
}

export type TlsVariables = Pick<Config, 'TLS_CERT_FILE' | 'TLS_KEY_FILE' | 'TLS_CLIENT_CA_FILE'>

/** A bundle of all public authorities has 200 KB. */
const MAX_FILE_BYTES = 1024 * 1024
/** Time limit of a handshake: then the client is cut off. A shutdown waits as long for it. */
const HANDSHAKE_TIMEOUT_MS = 5000

/**
 * @param onWarning called if the certificate has expired or is not valid yet. It is used anyway: a clock may be wrong,
 *   and clients decide.
 * @returns undefined when the listener has no TLS.
 * @throws MillraceError CONFIG_INVALID, naming the variable.
 */
export function readTls(variables: TlsVariables, onWarning: (message: string) => void): TlsFiles | undefined {
  const { TLS_CERT_FILE, TLS_KEY_FILE, TLS_CLIENT_CA_FILE } = variables
  if (TLS_CERT_FILE === '') return undefined
  const cert = readPem('TLS_CERT_FILE', TLS_CERT_FILE)
  const key = readPem('TLS_KEY_FILE', TLS_KEY_FILE)
  const clientCa = TLS_CLIENT_CA_FILE === '' ? undefined : readPem('TLS_CLIENT_CA_FILE', TLS_CLIENT_CA_FILE)
  const [own] = certificatesOf('TLS_CERT_FILE', cert)
  if (clientCa !== undefined) certificatesOf('TLS_CLIENT_CA_FILE', clientCa)
  if (!own.checkPrivateKey(keyOf(key))) {
    throw invalid('TLS_KEY_FILE', 'the key does not belong to the certificate of TLS_CERT_FILE: set both from one pair')
  }
  const files = { cert, key, clientCa }
  try {
    createSecureContext(contextOf(files))
  } catch (error) {
    throw invalid('TLS_CERT_FILE', `OpenSSL does not take certificate and key (${messageOf(error)})`)
  }
  const problem = validityProblem(own)
  if (problem !== undefined) onWarning(`TLS_CERT_FILE: the certificate ${problem}: clients will refuse it`)
  return files
}

/** The context of new TLS connections. */
export function contextOf({ cert, key, clientCa }: TlsFiles): SecureContextOptions {
  return { cert, key, ...(clientCa !== undefined && { ca: clientCa }), minVersion: 'TLSv1.2' }
}

/** The options of the TLS server. */
export function serverOptionsOf(files: TlsFiles) {
  const requiresClient = files.clientCa !== undefined
  return {
    ...contextOf(files),
    requestCert: requiresClient,
    rejectUnauthorized: requiresClient,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  }
}

/** Names the certificate and its end of validity, for a log line. */
export function describeCertificate({ cert }: TlsFiles): string {
  const { fingerprint256, validTo } = new X509Certificate(cert)
  return `certificate ${fingerprint256.slice(0, 23)}…, valid until ${new Date(validTo).toISOString()}`
}

function readPem(variable: string, path: string): string {
  let text: string
  try {
    text = readBounded(path)
  } catch (error) {
    throw invalid(variable, `cannot read ${path} (${messageOf(error)})`)
  }
  if (text.includes('-----BEGIN ')) return text
  throw invalid(variable, `${path} is not a PEM file: it has no line "-----BEGIN …"`)
}

function readBounded(path: string): string {
  const file = openSync(path, 'r')
  try {
    const { size } = fstatSync(file)
    if (size > MAX_FILE_BYTES) throw new Error(`it has ${size} bytes, the limit is ${MAX_FILE_BYTES}`)
    return readFileSync(file, 'utf8')
  } finally {
    closeSync(file)
  }
}

function certificatesOf(variable: string, pem: string): [X509Certificate, ...X509Certificate[]] {
  const begun = pem.split('-----BEGIN CERTIFICATE-----').length - 1
  const whole = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  if (whole.length < begun)
    throw invalid(variable, `certificate ${whole.length + 1} is cut short: is it still being written?`)
  const certificates = whole.map((text, at) => {
    try {
      return new X509Certificate(text)
    } catch (error) {
      throw invalid(variable, `certificate ${at + 1} cannot be read (${messageOf(error)})`)
    }
  })
  const [first, ...others] = certificates
  if (first === undefined) throw invalid(variable, 'it holds no certificate: it needs a block "BEGIN CERTIFICATE"')
  return [first, ...others]
}

function keyOf(pem: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch (error) {
    // OpenSSL's message does not describe the key file.
    const isEncrypted = systemCode(error) === 'ERR_MISSING_PASSPHRASE'
    const problem = isEncrypted ? 'the key is encrypted: give it without a passphrase' : 'it holds no whole private key'
    throw invalid('TLS_KEY_FILE', `${problem} (${messageOf(error)})`)
  }
}

function validityProblem({ validFrom, validTo }: X509Certificate): string | undefined {
  const now = Date.now()
  if (Date.parse(validTo) <= now) return `expired at ${new Date(validTo).toISOString()}`
  if (Date.parse(validFrom) > now) return `is not valid before ${new Date(validFrom).toISOString()}`
  return undefined
}
