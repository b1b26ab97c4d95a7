/**
 * One persistent HTTP/1.1 connection that sends one request at a time, as bytes. The client is as cheap as possible,
 * because it shares the machine with the measured server. It reconnects when the server has closed the connection.
 */
import { connect, type Socket } from 'node:net'

/** @param status 0 when the connection broke before the answer was complete. */
export type OnAnswer = (status: number, body: string) => void

const END_OF_HEAD = '\r\n\r\n'

export class Connection {
  readonly #host: string
  readonly #port: number
  #socket: Socket | undefined
  #received = ''
  #onAnswer: OnAnswer | undefined
  #failure = ''

  constructor(url: string) {
    const { hostname, port } = new URL(url)
    this.#host = hostname
    this.#port = Number(port)
    this.#open()
  }

  /**
   * @param parts of one request, sent together.
   * @param onAnswer called once, never before this returns.
   */
  send(parts: readonly (string | Buffer)[], onAnswer: OnAnswer): void {
    this.#onAnswer = onAnswer
    const socket = this.#socket?.writable ? this.#socket : this.#open()
    socket.cork()
    for (const part of parts) socket.write(part)
    socket.uncork()
  }

  close(): void {
    this.#onAnswer = undefined
    this.#socket?.destroy()
  }

  #open(): Socket {
    const socket = connect(this.#port, this.#host).setNoDelay().setEncoding('latin1')
    this.#socket = socket
    this.#received = ''
    socket.on('data', (text: string) => {
      this.#received += text
      this.#look(socket)
    })
    socket.on('error', (error) => {
      this.#failure = error.message
    })
    socket.on('close', () => {
      if (this.#socket !== socket) return
      this.#socket = undefined
      this.#answered(0, this.#failure)
    })
    return socket
  }

  #look(socket: Socket): void {
    const headEnd = this.#received.indexOf(END_OF_HEAD)
    if (headEnd === -1) return
    const head = this.#received.slice(0, headEnd)
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1])
    const body = this.#received.slice(headEnd + END_OF_HEAD.length)
    // An answer in chunks has no length: nothing here sends one.
    if (Number.isNaN(length)) {
      this.#failure = `an answer without content-length: ${head}`
      socket.destroy()
      return
    }
    if (body.length < length) return
    if (/\r\nconnection: *close/i.test(head)) {
      this.#socket = undefined
      socket.end()
    }
    this.#received = ''
    this.#answered(Number(head.slice('HTTP/1.1 '.length, 'HTTP/1.1 202'.length)), body)
  }

  #answered(status: number, body: string): void {
    const onAnswer = this.#onAnswer
    this.#onAnswer = undefined
    onAnswer?.(status, body)
  }
}
