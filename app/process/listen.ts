/** Listens, and reports errors with advice for the operator. A start and `config --check` give the same messages. */
import { MillraceError, messageOf, systemCode } from '../errors.ts'

export interface Listener {
  listen(options: { host: string; port: number }): Promise<string>
}

/** Errors that are about the address, not the port. */
const ABOUT_THE_HOST = new Set<string | undefined>([
  'EADDRNOTAVAIL',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EAFNOSUPPORT',
  'EINVAL',
])

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/

/** Whether only this machine can reach a listener at that address. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host)
}

/**
 * @param prefix prefix of the two variables, HOST and PORT.
 * @throws MillraceError LISTEN_FAILED; its message names the variable.
 */
export async function listen(listener: Listener, host: string, port: number, prefix: '' | 'ADMIN_'): Promise<string> {
  try {
    // For `localhost`, Fastify would open a second server on ::1, without the settings of the first.
    return await listener.listen({ host: host === 'localhost' ? '127.0.0.1' : host, port })
  } catch (cause) {
    if (cause instanceof MillraceError) throw cause
    const code = systemCode(cause)
    if (ABOUT_THE_HOST.has(code)) {
      const problem = `${host} is not an address of this machine (${messageOf(cause)}): set it to one, such as 127.0.0.1 or 0.0.0.0`
      throw new MillraceError('LISTEN_FAILED', `${prefix}HOST: ${problem}`, { cause })
    }
    const what = code === 'EADDRINUSE' ? 'is in use by another program' : `cannot be used (${messageOf(cause)})`
    const fix = `stop what uses it, or set ${prefix}PORT to another port (0 takes any free one)`
    throw new MillraceError('LISTEN_FAILED', `${prefix}PORT: port ${port} on ${host} ${what}: ${fix}`, { cause })
  }
}
