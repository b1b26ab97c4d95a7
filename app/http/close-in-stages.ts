/**
 * Closes a connection on which a client may still be sending (RFC 9112, section 9.6). A socket that is closed with bytes
 * unread makes the kernel reset the connection, and a reset discards the answer before the client has read it: such a
 * client sees a broken connection, and sends the same again.
 *
 *     answer, end of our side ─▶ read and discard what comes, up to the limits ─▶ close
 */
import type { Socket } from 'node:net'

const MAX_MS = 5000
/** What a client sends that writes its whole body before it reads. */
const MAX_BYTES = 64 * 1024 * 1024
/** Others are closed at once: each holds a file. */
const MAX_AT_ONCE = 256

let closing = 0
/** Connections that are closed as soon as what is begun is answered. */
const ending = new WeakSet<Socket>()

/** Whether nothing more is to be read of a connection: a request behind the last one is nobody's. */
export function isEnding(socket: Socket): boolean {
  return ending.has(socket)
}

export function closeInStages(socket: Socket): void {
  if (socket.destroyed) return
  ending.add(socket)
  socket.end()
  if (closing >= MAX_AT_ONCE) return void socket.destroySoon()
  closing += 1
  const timer = setTimeout(() => socket.destroy(), MAX_MS)
  const endBytes = socket.bytesRead + MAX_BYTES
  // Nothing of it is a request any more: the parser gets none of it.
  for (const event of ['data', 'end', 'error']) socket.removeAllListeners(event)
  socket.on('data', () => {
    if (socket.bytesRead > endBytes) socket.destroy()
  })
  socket.on('end', () => socket.destroy())
  socket.on('error', () => socket.destroy())
  socket.once('close', () => {
    clearTimeout(timer)
    closing -= 1
  })
  socket.resume()
}

/** The same, once Node has written the answer of a request on it: it would close it at once then. */
export function closeInStagesWhenAnswered(socket: Socket): void {
  if (ending.has(socket)) return
  ending.add(socket)
  socket.destroySoon = () => {
    socket.destroySoon = Object.getPrototypeOf(socket).destroySoon
    closeInStages(socket)
  }
}
