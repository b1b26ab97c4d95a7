/** Certificates for tests, made by openssl: an authority, and what it signs. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryDirectory } from './temporary.ts'

/** Why none can be made here, or undefined. */
export const CANNOT_MAKE_CERTIFICATES = spawnSync('openssl', ['version']).error
  ? 'openssl is not on the PATH: apt-get install openssl'
  : undefined

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

export interface Pair {
  readonly cert: string
  readonly key: string
}

export class Authority {
  readonly #directory = temporaryDirectory()
  /** Its own certificate, as PEM. */
  readonly ca: string

  constructor(name = 'Millrace tests') {
    this.#openssl(
      'req',
      '-x509',
      ...NEW_KEY,
      '-days',
      '2',
      '-keyout',
      'ca.key',
      '-out',
      'ca.pem',
      '-subj',
      `/CN=${name}`,
    )
    this.ca = this.#read('ca.pem')
  }

  /**
   * @param days from now. Default: 2; -1 expired yesterday.
   * @param subject as `openssl req -subj` has it. Default: a common name that says what it is for.
   * @param names alternative ones, as `subjectAltName` has them. Default: those of this machine for a server, else none.
   */
  issue(
    use: 'server' | 'client',
    { days = 2, subject = `/CN=${use}`, names = use === 'server' ? 'IP:127.0.0.1,DNS:localhost' : '' } = {},
  ): Pair {
    const alternative = names === '' ? '' : `subjectAltName=${names}\n`
    writeFileSync(this.#path('extensions'), `basicConstraints=CA:FALSE\nextendedKeyUsage=${use}Auth\n${alternative}`)
    this.#openssl('req', '-new', ...NEW_KEY, '-keyout', 'own.key', '-out', 'own.csr', '-subj', subject)
    const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'extensions']
    this.#openssl('x509', '-req', '-in', 'own.csr', ...signed, '-days', String(days), '-out', 'own.pem')
    return { cert: this.#read('own.pem'), key: this.#read('own.key') }
  }

  #openssl(...args: string[]): void {
    execFileSync('openssl', args, { cwd: this.#directory, stdio: 'pipe' })
  }

  #path(name: string): string {
    return join(this.#directory, name)
  }

  #read(name: string): string {
    return readFileSync(this.#path(name), 'utf8')
  }
}

/**
 * A directory whose files are replaced all at once, as Kubernetes mounts a secret:
 *
 *     tls.crt ─▶ ..data/tls.crt      ..data ─▶ ..2/      the last link is replaced by a rename
 */
export class MountedSecret {
  readonly #directory: string
  #version = 0

  constructor(files: Readonly<Record<string, string>>, directory = temporaryDirectory()) {
    this.#directory = directory
    this.replace(files)
    for (const name of Object.keys(files)) symlinkSync(join('..data', name), this.path(name))
  }

  path(name: string): string {
    return join(this.#directory, name)
  }

  replace(files: Readonly<Record<string, string>>): void {
    const version = `..${++this.#version}`
    mkdirSync(this.path(version))
    for (const [name, text] of Object.entries(files)) writeFileSync(this.path(join(version, name)), text)
    symlinkSync(version, this.path('..data_tmp'))
    renameSync(this.path('..data_tmp'), this.path('..data'))
  }
}
