/**
 * Closes a connection on which a client may still be sending (RFC 9112, section 9.6). A socket that is closed with bytes
 * unread makes the kernel reset the connection, and a reset discards the answer before the client has read it: such a
 * client sees a broken connection, and sends the same again.
 *
 *     answer, end of our side ─▶ read and discard what comes, up to the limits ─▶ close
 */
import type { Socket } from 'node:net'
import type { FastifyReply } from 'fastify'

/** Without a byte: a client that is gone, or waits for more than there is. */
const IDLE_MS = 5000
/** Altogether: a client that sends slowly sees the answer only once all of it is sent. */
const MAX_MS = 30_000
/** Twice the largest `MAX_BODY_BYTES` there can be. */
const MAX_BYTES = 128 * 1024 * 1024
/** Each holds a file. Of more, the one that had the longest time is closed at once. */
const MAX_AT_ONCE = 256

/** Oldest first. */
const closing = new Set<Socket>()
/** Connections that are closed as soon as what is begun is answered. */
const ending = new WeakSet<Socket>()

/** Whether nothing more is to be read of a connection: a request behind the last one is nobody's. */
export function isEnding(socket: Socket): boolean {
  return ending.has(socket)
}

/** What arrives from now on is nobody's. */
export function takeNoMore(socket: Socket): void {
  ending.add(socket)
}

export function closeInStages(socket: Socket): void {
  if (socket.destroyed) return
  ending.add(socket)
  socket.end()
  const [oldest] = closing
  if (oldest && closing.size >= MAX_AT_ONCE) {
    closing.delete(oldest)
    oldest.destroy()
  }
  closing.add(socket)
  const timer = setTimeout(() => socket.destroy(), MAX_MS)
  socket.once('close', () => {
    clearTimeout(timer)
    closing.delete(socket)
  })
  // Node stops reading where a body is not taken. What starts it again is among the listeners that go.
  if (socket.isPaused()) socket.once('resume', () => discard(socket)).resume()
  else discard(socket)
}

/** Nothing of it is a request any more: the parser gets none of it. */
function discard(socket: Socket): void {
  const endBytes = socket.bytesRead + MAX_BYTES
  for (const event of ['data', 'end', 'error']) socket.removeAllListeners(event)
  socket.on('data', () => {
    if (socket.bytesRead > endBytes) socket.destroy()
  })
  socket.on('end', () => socket.destroy())
  socket.on('error', () => socket.destroy())
  socket.setTimeout(IDLE_MS, () => socket.destroy())
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

/** Makes the answer of a request the last one of its connection. */
export function makeLast(reply: FastifyReply): void {
  reply.header('connection', 'close')
  closeInStagesWhenAnswered(reply.request.raw.socket)
}
