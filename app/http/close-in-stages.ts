/**
 * Closes a connection on which a client may still be sending (RFC 9112, section 9.6). If a socket is closed with unread
 * bytes, the kernel resets the connection. A reset discards the answer before the client has read it. The client then
 * sees a broken connection and sends the same request again.
 *
 *     answer, end of our side ─▶ read and discard input, up to the limits ─▶ close
 */
import type { Socket } from 'node:net'
import type { FastifyReply } from 'fastify'

/** Limit without a byte received: the client is gone, or waits for more than the answer. */
const IDLE_MS = 5000
/** Limit in total. Some slow clients read the answer only after they have sent the whole body. */
const MAX_MS = 30_000
/** Twice the largest `MAX_BODY_BYTES` there can be. */
const MAX_BYTES = 128 * 1024 * 1024
/** Each closing connection holds a file descriptor. Beyond this, the oldest one is closed at once. */
const MAX_AT_ONCE = 256

/** Oldest first. */
const closing = new Set<Socket>()
/** Connections that close as soon as the requests in progress are answered. */
const ending = new WeakSet<Socket>()

/** Whether the connection is closing, so that no further request on it is served. */
export function isEnding(socket: Socket): boolean {
  return ending.has(socket)
}

/** Serves no further request on the connection. */
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
  // Node pauses the socket when nobody reads the body. The listener that would resume it is removed here.
  if (socket.isPaused()) socket.once('resume', () => discard(socket)).resume()
  else discard(socket)
}

/** Detaches the HTTP parser, so that further bytes are not parsed as requests. */
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

/** Closes in stages once Node has written an answer: by itself, Node would close the socket at once. */
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
