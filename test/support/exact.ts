/** `data` that does not survive JSON.parse and JSON.stringify, sent in every format, and looked for where it arrives. */
import fc from 'fast-check'
import { expect } from 'vitest'
import { rawMembers } from '../../app/event/attributes.ts'
import { jsonTexts } from './json-texts.ts'

const HARD = [
  ...'0 -0 1.0 -1.50 1e400 -1E+400 1e-400 9007199254740993 12345678901234567890.123 0.10000000000000000000000000000001'.split(
    ' ',
  ),
  '{"id":9007199254740993,"z":12345678901234567890.123,"x":1.0}',
  '{"v":1e400,"z":-0,"f":1.0,"2":1,"1":2}',
  '{"a":1,"a":2,"a":{"a":[],"a":{}}}',
  '"\\u0041\\/\\ud83d\\ude00 é€𝄞 \\ud800"',
  `[${'[{"a":'.repeat(100)}1.0${'}]'.repeat(100)}]`,
]
const BIG = `{"text":"${'long é '.repeat(130_000)}","number":1.0}`
const RUNS = 150
const FORMATS = ['application/x-ndjson', 'application/json', 'application/cloudevents+json', 'binary'] as const

/** A service takes bodies of so many bytes for it. */
export const MAX_BODY_BYTES = 4 * 1024 * 1024

/** By id. @param isExact whether a text can be compared where it arrives. Default: all can. */
export function hardData(isExact: (text: string) => boolean = () => true): Map<string, string> {
  const { json } = jsonTexts(['id', 'data', 'a'])
  const texts = [...HARD, BIG, ...fc.sample(json, RUNS)].map((text) => text.trim()).filter(isExact)
  return new Map(texts.map((text, at) => [`e${at}`, text]))
}

/** Sends each in one of the formats. */
export async function sendExactly(url: string, data: ReadonlyMap<string, string>): Promise<void> {
  const byFormat = Map.groupBy(data, (_) => FORMATS[made++ % FORMATS.length] as (typeof FORMATS)[number])
  const send = async (body: string, headers: Record<string, string>) => {
    const response = await fetch(`${url}/v1/events`, { method: 'POST', body, headers })
    expect([response.status, await response.text()]).toEqual([202, expect.stringMatching(/^\{"accepted":\d+\}$/)])
  }
  const short = ([id, text]: readonly [string, string]) => `{"id":"${id}","data":${text}}`
  await send((byFormat.get('application/x-ndjson') ?? []).map(short).join('\n'), {
    'content-type': 'application/x-ndjson',
  })
  await send(`[${(byFormat.get('application/json') ?? []).map(short).join(',\n')}]`, {
    'content-type': 'application/json',
  })
  for (const [id, text] of byFormat.get('application/cloudevents+json') ?? []) {
    const event = `{"specversion":"1.0","id":"${id}","source":"/s","type":"t","data":${text}}`
    await send(event, { 'content-type': 'application/cloudevents+json' })
  }
  for (const [id, text] of byFormat.get('binary') ?? []) {
    const attributes = { 'ce-specversion': '1.0', 'ce-id': id, 'ce-source': '/s', 'ce-type': 't' }
    await send(text, { ...attributes, 'content-type': 'application/json' })
  }
}

let made = 0

/** @param lines complete CloudEvents, where they have arrived. */
export function expectExactly(lines: readonly string[], data: ReadonlyMap<string, string>): void {
  const arrived = new Map(
    lines.map((line) => {
      const members = rawMembers(Buffer.from(line))
      return [JSON.parse(String(members?.get('id'))), String(members?.get('data'))]
    }),
  )
  expect([...arrived.keys()].sort()).toEqual([...data.keys()].sort())
  for (const [id, text] of data) expect(arrived.get(id) === text, `${id}: ${text.slice(0, 200)}`).toBe(true)
}
