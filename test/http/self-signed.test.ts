/** TLS_SELF_SIGNED: a certificate that the service makes, judged by OpenSSL and used by real clients. */
import { execFileSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { loadConfig } from '../../app/config.ts'
import { CredentialFiles } from '../../app/http/credentials.ts'
import { selfSigned } from '../../app/http/self-signed.ts'
import { CANNOT_MAKE_CERTIFICATES } from '../support/certificates.ts'
import { startHttp } from '../support/http.ts'
import { handshake, send } from '../support/tls-client.ts'

const YEAR_MS = 365.25 * 24 * 60 * 60 * 1000

test('the certificate is its own authority, for localhost, with its own key, valid now and for ten years', () => {
  const { cert, key, clientCa } = selfSigned()
  const certificate = new X509Certificate(cert)
  expect(certificate.checkPrivateKey(createPrivateKey(key))).toBe(true)
  expect(certificate.verify(certificate.publicKey)).toBe(true)
  expect(certificate.checkIssued(certificate)).toBe(true)
  expect([certificate.checkHost('localhost'), certificate.checkIP('127.0.0.1')]).toEqual(['localhost', '127.0.0.1'])
  expect([certificate.subject, certificate.issuer, clientCa]).toEqual(['CN=millrace', 'CN=millrace', undefined])
  expect(Date.parse(certificate.validFrom)).toBeLessThan(Date.now())
  expect((Date.parse(certificate.validTo) - Date.now()) / YEAR_MS).toBeCloseTo(10, 1)
})

test.skipIf(CANNOT_MAKE_CERTIFICATES)('OpenSSL reads and verifies it, strictly', () => {
  const { cert } = selfSigned()
  const openssl = (...args: string[]) => execFileSync('openssl', args, { input: cert, encoding: 'utf8' })
  const text = openssl('x509', '-noout', '-text')
  expect(text).toMatch(/Version: 3 .*Signature Algorithm: ecdsa-with-SHA256.*ASN1 OID: prime256v1/s)
  expect(text).toContain('DNS:localhost, IP Address:127.0.0.1')
  expect(openssl('asn1parse')).not.toMatch(/error/i)
})

test('each has a serial number and a key of its own; a year with four digits is written as RFC 5280 wants it', () => {
  const many = Array.from({ length: 50 }, () => new X509Certificate(selfSigned().cert))
  expect(new Set(many.map(({ serialNumber }) => serialNumber)).size).toBe(50)
  expect(new Set(many.map(({ publicKey }) => publicKey.export({ type: 'spki', format: 'pem' }))).size).toBe(50)
  const late = new X509Certificate(selfSigned(new Date('2045-06-01T00:00:00Z')).cert)
  expect([late.validFrom, late.validTo]).toEqual(['May 31 00:00:00 2045 GMT', 'Jun  1 00:00:00 2055 GMT'])
})

test('the listener serves it over TLS 1.3 and 1.2; a client that checks refuses it', async () => {
  const http = await startHttp({ TLS_SELF_SIGNED: 'true' })
  expect(http.url).toMatch(/^https:/)
  for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
    const socket = await handshake(http.url, { rejectUnauthorized: false, maxVersion })
    expect(socket.getProtocol()).toBe(maxVersion)
  }
  // As a load balancer does that does not look at it.
  expect((await send(http.url, { rejectUnauthorized: false })).status).toBe(202)
  await expect(send(http.url, {})).rejects.toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
  expect(http.logged.join('')).not.toContain('PRIVATE KEY')
})

test('it stays the same when files are read again', () => {
  const lines: string[] = []
  const write = (line: unknown) => void lines.push(String(line))
  const files = new CredentialFiles(loadConfig({ TLS_SELF_SIGNED: 'true' }), { info: write, warn: write, error: write })
  const before = files.credentials.current.tls?.cert
  expect([files.reload(), files.credentials.current.tls?.cert, lines]).toEqual([false, before, []])
  files.close()
})

test('two processes have two certificates', async () => {
  const [one, other] = [await startHttp({ TLS_SELF_SIGNED: 'true' }), await startHttp({ TLS_SELF_SIGNED: 'true' })]
  const fingerprintAt = async (url: string) =>
    (await handshake(url, { rejectUnauthorized: false })).getPeerCertificate().fingerprint256
  expect(await fingerprintAt(one.url)).not.toBe(await fingerprintAt(other.url))
})

test('a certificate of files and one of its own exclude each other', () => {
  const environment = { TLS_SELF_SIGNED: 'true', TLS_CERT_FILE: '/a', TLS_KEY_FILE: '/b' }
  expect(() => loadConfig(environment)).toThrow(/^TLS_SELF_SIGNED: TLS_CERT_FILE is set as well: use one of them/)
})
