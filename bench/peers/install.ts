/**
 * `npm run bench:peers [-- --only name,name]`: installs what Millrace is compared with, in the versions that are pinned here.
 * What cannot be installed is left out, with the reason; what is there already costs nothing.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { PEERS } from './peers.ts'
import type { Step, Unit } from './units.ts'

const REASON_LINES = 3

const print = (line: string) => process.stdout.write(`${line}\n`)

const { values } = parseArgs({ options: { only: { type: 'string' } } })
const names = values.only?.split(',') ?? PEERS.map(({ name }) => name)
const unknown = names.find((name) => !PEERS.some((peer) => peer.name === name))
if (unknown !== undefined) {
  console.error(`no peer "${unknown}": use ${PEERS.map(({ name }) => name).join(', ')}`)
  process.exit(2)
}
const wanted = PEERS.filter(({ name }) => names.includes(name))
const units = new Set(wanted.flatMap(({ unit }) => unit ?? []))
let at = 0
for (const unit of units) {
  at += 1
  if (unit.missing() !== undefined) await install(unit, `[${at}/${units.size}] ${unit.name}`)
}
for (const { name, version, missing } of wanted) {
  const reason = missing()
  print(reason === undefined ? `${name.padEnd(14)} ready: ${version()}` : `${name.padEnd(14)} left out: ${reason}`)
}
// node:http comes with what runs this, so there is always something to compare with.

async function install(unit: Unit, label: string): Promise<void> {
  if (unit.withoutTool() !== undefined) return
  mkdirSync(unit.target, { recursive: true })
  for (const file of [unit.stamp, unit.failure]) rmSync(file, { force: true })
  const digest = unit.digest()
  for (const step of unit.steps) {
    print(`${label}: ${step.join(' ')}`)
    const failure = await run(step, unit.source)
    if (failure !== undefined) return writeFileSync(unit.failure, failure)
  }
  writeFileSync(unit.stamp, digest)
}

/** Shows what it prints. Resolves with the end of that when it fails. */
async function run([command, ...args]: Step, directory: string): Promise<string | undefined> {
  const child = spawn(command, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      process.stderr.write(text)
      output = (output + text).slice(-4000)
    })
  }
  const [code] = await once(child, 'close')
  if (code === 0) return undefined
  const lines = output.split('\n').filter((line) => line.trim() !== '')
  return `${command} ended with ${code}: ${lines.slice(-REASON_LINES).join(' / ')}`
}
