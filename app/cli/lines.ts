/** The lines of a stream of UTF-8, without their ends: `\n`, or `\r\n`. */
export async function* lines(input: AsyncIterable<Buffer>): AsyncGenerator<string> {
  // Not node:readline: it also ends a line at U+2028 and U+2029, which JSON may have within a text (RFC 8259, section 7).
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of input) {
    const [first = '', ...more] = decoder.decode(bytes, { stream: true }).split('\n')
    rest += first
    for (const next of more) {
      yield withoutReturn(rest)
      rest = next
    }
  }
  rest += decoder.decode()
  if (rest !== '') yield withoutReturn(rest)
}

function withoutReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line
}
