import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { until } from '../../support/service.ts'

const MODULE = resolve(import.meta.dirname, '../../../infra/deployment/interruptible.ts')

/** Runs a program that counts how often it hears SIGINT and takes a second to end; then one that must not begin. */
const PROGRAM = `import { endOnSignals, runProgram } from '${MODULE}'
  endOnSignals()
  const counting = "process.on('SIGINT', () => { console.log('heard'); setTimeout(() => process.exit(1), 500) }); console.log('begun'); setInterval(() => {}, 1000)"
  try {
    await runProgram(process.execPath, ['-e', counting], { onLine: (line) => console.log(line) })
    await runProgram('echo', ['next'])
  } catch (error) { console.log(error.constructor.name, error.signal) }`

test.each(['SIGINT', 'SIGTERM'] as const)(
  '%s, sent twice: what runs hears SIGINT once, and nothing begins after it',
  async (signal) => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM], { detached: true })
    onTestFinished(() => void child.kill('SIGKILL'))
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text) => (output += text))
    await until(() => output.includes('begun'), 10_000, 'begun')
    process.kill(-(child.pid ?? 0), signal) // a terminal reaches the whole group
    child.kill(signal) // and npm passes it on
    await once(child, 'close')
    expect(output.trim().split('\n')).toEqual(['begun', 'heard', `InterruptedError ${signal}`])
  },
)
