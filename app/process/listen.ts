/** Listening, and what an operator is told when that fails: a start and `config --check` say the same. */
import { MillraceError, messageOf, systemCode } from '../errors.ts'

export interface Listener {
  listen(options: { host: string; port: number }): Promise<string>
}

/** Errors that are about the address, whatever the port. */
const ABOUT_THE_HOST = new Set<string | undefined>([
  'EADDRNOTAVAIL',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EAFNOSUPPORT',
  'EINVAL',
])

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/

/** Whether only this machine reaches a listener there. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.test(host)
}

/**
 * @param prefix of the two variables, HOST and PORT.
 * @throws MillraceError LISTEN_FAILED, naming the variable.
 */
export async function listen(listener: Listener, host: string, port: number, prefix: '' | 'ADMIN_'): Promise<string> {
  try {
    // For this one name Fastify opens a second server, on ::1, without what was set up on the first.
    return await listener.listen({ host: host === 'localhost' ? '127.0.0.1' : host, port })
  } catch (cause) {
    if (cause instanceof MillraceError) throw cause
    const code = systemCode(cause)
    if (ABOUT_THE_HOST.has(code)) {
      const problem = `${host} is no address of this machine (${messageOf(cause)}): set it to one, such as 127.0.0.1 or 0.0.0.0`
      throw new MillraceError('LISTEN_FAILED', `${prefix}HOST: ${problem}`, { cause })
    }
    const what = code === 'EADDRINUSE' ? 'is in use by another program' : `cannot be used (${messageOf(cause)})`
    const fix = `stop what uses it, or set ${prefix}PORT to another port (0 takes any free one)`
    throw new MillraceError('LISTEN_FAILED', `${prefix}PORT: port ${port} on ${host} ${what}: ${fix}`, { cause })
  }
}
