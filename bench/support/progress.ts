/** What is being measured now, on stderr: one line that is written over on a terminal, lines of their own elsewhere. */

export function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K  ${text}`)
  else process.stderr.write(`  ${text}\n`)
}

export function endProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
}
